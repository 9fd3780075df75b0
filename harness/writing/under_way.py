"""A write that is under way: work over many items at once, every call of it kept in a journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from harness import trace
from harness.errors import MachineError, RunFailedError, UnansweredError, describe_error
from harness.progress import bar
from harness.trace import Recorder

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")
Made = TypeVar("Made")

IN_A_ROW = 16
"""So many items that a server left unanswered, one after the other, stop a write at once."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What ``Method.each`` works with: how many items at once, and where progress is shown."""

    window: int
    release: Callable[[str], None]
    """Has the model forget what it kept for a question (``LanguageModel.release``)."""
    console: Console

    async def whole(self, label: str, work: Awaitable[Any]) -> None:
        """Await a method's ``write``. Raises RunFailedError if a server left a call unanswered."""
        recorder = trace.begin("write")
        try:
            await work
        except UnansweredError as error:
            recorder.note_failure(error)
        finally:
            recorder.close()
        _check(recorder, label)
        if recorder.unanswered is not None:
            raise _unanswered(f"{label}: calls", [recorder.unanswered])

    async def each(
        self, items: Iterable[Item], work: Callable[[Item], Awaitable[Made]], label: str
    ) -> list[Made]:
        """See ``Method.each``."""
        everything = list(items)
        run = _Each(everything, work, f"{label} {trace.current_scope().next_key()}", label)
        with bar(self.console, label, len(everything)) as shown:
            await _all([run.worker(self, shown.advance) for _ in everything[: self.window]])
        if run.unanswered:
            raise _unanswered(label, run.unanswered)
        return [run.made[index] for index in range(len(everything))]


class _Each:
    """One call of ``each``: its workers take the next item as soon as they are done with one."""

    def __init__(
        self, items: list[Any], work: Callable[[Any], Awaitable[Any]], place: str, label: str
    ) -> None:
        self.work, self.place, self.label = work, place, label
        self.left: Iterator[tuple[int, Any]] = iter(enumerate(items))
        self.made: dict[int, Any] = {}
        self.unanswered: list[UnansweredError] = []
        self._in_a_row = 0

    async def worker(self, under_way: UnderWay, advance: Callable[[int], None]) -> None:
        """Work until no item is left."""
        for index, item in self.left:
            failure = await self._one(index, item)
            under_way.release(self._name(index))
            if failure is None:
                self._in_a_row = 0
                advance(1)
                continue
            # The others may be answered, and are then not asked again.
            self.unanswered.append(failure)
            self._in_a_row += 1
            if self._in_a_row >= IN_A_ROW:
                raise _unanswered(self.label, self.unanswered)

    async def _one(self, index: int, item: Any) -> UnansweredError | None:
        # A trace of its own, so that what it draws depends on nothing that is done beside it.
        recorder = trace.begin(self._name(index))
        try:
            self.made[index] = await self.work(item)
        except UnansweredError as error:
            recorder.note_failure(error)
        except Exception as error:
            recorder.note_failure(error)
            if recorder.unanswered is None:
                _check(recorder, self.label)
                raise
        finally:
            recorder.close()
        _check(recorder, self.label)
        return recorder.unanswered

    def _name(self, index: int) -> str:
        return f"{self.place} {index}"


async def _all(works: list[Coroutine[Any, Any, None]]) -> None:
    """Do all of it at once, apart from what else is counted here; the first error ends the rest."""
    loop = asyncio.get_running_loop()
    tasks = []
    for work in works:
        context = copy_context()
        context.run(trace.begin, "each")
        tasks.append(loop.create_task(work, context=context))
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _check(recorder: Recorder, label: str) -> None:
    if recorder.machine is not None:
        raise MachineError(f"{label}: {recorder.machine}")


def _unanswered(what: str, errors: list[UnansweredError]) -> RunFailedError:
    # What is learnt from a server's failures would be wrong, and for ever.
    return RunFailedError(
        f"{what} left unanswered: {len(errors)}; see to the model's server and run again, answers "
        f"so far are kept; the last: {describe_error(errors[-1])}"
    )
