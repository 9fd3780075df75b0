"""A method and its engine as they are observed: what it returns, raises, asks for and looks at."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from harness.engine import Answered, Engine
from harness.errors import CapabilityError
from harness.method import Method
from harness.records import Prediction, Query, Question
from harness.testing.models import RuleModel
from harness.testing.outcomes import Outcome, Outcomes
from harness.testing.places import Code, awaited, frames
from harness.testing.watch import Watch
from harness.trace import current_scope


@dataclass(frozen=True, slots=True)
class Case:
    """How the questions are asked; ``most`` passages are found, None for as many as there are.

    ``backwards``: of what is asked at once, the last gets its reply first, as a model may do that
    sorts by length. ``train``: the questions to learn from, None for those of the task.
    """

    name: str
    window: int = 64
    rules: RuleModel | None = None
    most: int | None = None
    backwards: bool = False
    train: tuple[Question, ...] | None = None


class Observed(Method):
    """A method as the engine sees it, while what it returns and raises is kept."""

    def __init__(self, method: Method, case: Case, watch: Watch) -> None:
        self._method, self._case, self.watch = method, case, watch
        self._running: dict[str, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.outcomes: Outcomes = {}

    async def answer(self, query: Query) -> Prediction:
        """Answer as the method does, and keep what became of it."""
        outcome = Outcome(f"{self._case.name}, question {query.id}")
        self.outcomes[query.id], self._loop = outcome, asyncio.get_running_loop()
        coroutine = self._running[query.id] = self._method.answer(query)
        try:
            outcome.returned = await coroutine
        except CapabilityError:
            raise
        except Exception as error:
            outcome.raised = error
            _put_away(getattr(error, "obj", None))
            raise
        finally:
            del self._running[query.id]
        _put_away(outcome.returned)
        # What cannot be scored would stop a run; here the other questions go on.
        return outcome.returned if outcome.is_whole else Prediction("")

    def answered(self, answered: Answered) -> None:
        """Keep the prediction as the engine completed it."""
        self.watch.beat()
        self.outcomes[answered.question_id].prediction = answered.prediction

    def waiting(self) -> list[tuple[str, int]]:
        """The lines at which unanswered questions wait."""
        return [line for each in list(self._running.values())[:1] for line in awaited(each)]

    def end_loop(self) -> None:
        """Have the loop end, at once if it waits."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(sys.exit)


class CountingEngine(Engine):
    """Counts the calls of each question; may reply by rules, or not at all."""

    rules: RuleModel | None = None
    max_calls = 0
    silent = False
    backwards = False
    watch: Watch
    excess: str | None = None
    """The question that asked for more than ``max_calls``."""
    killed_after: int | None = None
    """How many calls are answered before KilledError comes instead."""
    replied = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._calls: Counter[str] = Counter()
        self.kept: list[tuple[str, Any]] | None = None
        """Every request with its kind, if they are wanted."""
        for channel in self.channels.values():
            channel.call = self._rested(channel.call)

    async def submit(self, kind: str, request: Any) -> Any:
        """Reply, unless the question has asked too often."""
        question = current_scope().recorder.query_id
        if self.kept is not None:
            self.kept.append((kind, request))
        self._calls[question] += 1
        if self._calls[question] > self.max_calls:
            self.excess = question
            if self._calls[question] > 10 * self.max_calls + 100:
                threading.Event().wait()  # it swallows whatever is raised, and would spin for ever
            raise EndlessError(question)
        self.watch.beat()
        if self.silent:
            return await asyncio.get_running_loop().create_future()
        if self.rules is None or kind == "search":
            result = await super().submit(kind, request)
        else:
            result = next(iter(getattr(self.rules, kind)([request])))[1]
        if self.replied == self.killed_after:
            raise KilledError
        self.replied += 1
        return result

    def _rested(self, call: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
        """The backend's call; while it works, the method's clock stands."""

        def rested(batch: Any) -> Iterator[Any]:
            with self.watch.resting():
                results = iter(list(call(batch))[::-1] if self.backwards else call(batch))
            while True:
                with self.watch.resting():
                    try:
                        result = next(results)
                    except StopIteration:
                        return
                yield result

        return rested


def _put_away(value: Any) -> None:
    """Close a coroutine that was taken for a result: it would be complained of at the end."""
    if isinstance(value, CoroutineType):
        value.close()


class NoGold(Mapping[str, Question]):
    """The gold of a method that is no oracle: none, and who looks is remembered."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self.looked: list[str] = []

    def __getitem__(self, key: str) -> Question:
        self._look()
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        self._look()
        return iter(())

    def __len__(self) -> int:
        self._look()
        return 0

    def _look(self) -> None:
        self.looked.append(self._code.last(frames(sys._getframe(2))))


class EndlessError(BaseException):
    """Not an Exception, so that a method that retries after every error ends too."""


class KilledError(BaseException):
    """What stands for a kill; no Exception, since nothing that a method catches ends a program."""
