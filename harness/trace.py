"""The trace of one question: what happened while it was answered, in an order free of timing."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from harness.errors import UnansweredError, machine_failure
from harness.records import Hit, Json, Prediction, Step, Usage

Key = tuple[int, ...]
LLM_KINDS = ("generate", "score", "next_token_probs")


@dataclass(slots=True)
class Recorder:
    """Collects one question's steps and the seconds it took for each kind of call."""

    query_id: str
    _steps: dict[Key, Step] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    unanswered: UnansweredError | None = None
    """What a server failed with; it counts even where the method went on without an answer."""
    machine: str | None = None
    """What the machine failed with; it, too, counts where the method went on."""
    reads_untold: bool = False
    """Whether a prompt was sent, be it in vain, that does not tell which passages it shows."""
    _branches: list[asyncio.Task[Any]] = field(default_factory=list)
    _shown: dict[Key, tuple[Sequence[str], int]] = field(default_factory=dict)
    _first_tokens: dict[Key, float | None] = field(default_factory=dict)

    def note_failure(self, error: Exception) -> None:
        """File an error if it is no fault of the method: its server's or the machine's."""
        if isinstance(error, UnansweredError):
            self.unanswered = error
        self.machine = self.machine or machine_failure(error)

    def show(self, key: Key, ids: Sequence[str], dropped: int) -> None:
        """File the passages of a prompt, best first, of which the last ``dropped`` did not fit."""
        self._shown[key] = (ids, dropped)

    @property
    def unread(self) -> set[str]:
        """Ids of the passages that did not fit into the last prompt they were meant for."""
        return {id_ for id_, fits in self._fits.items() if not fits}

    @property
    def _fits(self) -> dict[str, bool]:
        fits: dict[str, bool] = {}
        for _, (ids, dropped) in sorted(self._shown.items(), key=lambda item: item[0]):
            fits |= {id_: place < len(ids) - dropped for place, id_ in enumerate(ids)}
        return fits

    @property
    def retrieval(self) -> Prediction:
        """What was retrieved and read until the method failed, without an answer.

        Ranked as the searches brought it; read is what stood in a prompt, also one in vain.
        """
        ranked = retrieved_ids(step.data for step in self.steps)
        shown = [id_ for id_, fits in self._fits.items() if fits]
        # None is, as elsewhere, what a selection noted, else all that was ranked.
        read = None if self.reads_untold and not shown else shown
        return Prediction("", [Hit(id_) for id_ in ranked], read)

    def note_first_token(self, key: Key, moment: float | None) -> None:
        """File when a reply's first token was there, on ``perf_counter``; None if nobody knows."""
        self._first_tokens[key] = moment

    @property
    def first_token(self) -> float | None:
        """When the first token of the last reply was there, in the program's order."""
        return self._first_tokens[max(self._first_tokens)] if self._first_tokens else None

    def record(self, key: Key, kind: str, data: Mapping[str, Json]) -> None:
        """File a step under the place in the program that caused it."""
        self._steps[key] = Step(kind, data)

    def close(self) -> None:
        """End the branches that the question left behind, so that they cost nothing more."""
        for task in self._branches:
            task.cancel()
        self._branches.clear()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in program order: concurrent branches one after the other."""
        return tuple(step for _, step in sorted(self._steps.items(), key=lambda item: item[0]))

    @property
    def last_reply(self) -> str | None:
        """Text of the last generation, None if there was none."""
        replies = [step.data["reply"] for step in self.steps if step.kind == "generate"]
        return replies[-1] if replies else None

    @property
    def usage(self) -> Usage:
        """Calls and tokens summed over the steps."""
        calls = [step for step in self.steps if step.kind in LLM_KINDS]

        def total(key: str) -> int | None:
            counts = [step.data.get(key, 0) for step in calls]
            return None if None in counts else sum(counts)

        return Usage(
            llm_calls=len(calls),
            retrievals=sum(step.kind == "search" for step in self.steps),
            prompt_tokens=total("prompt_tokens"),
            completion_tokens=total("completion_tokens"),
            passages_dropped=total("passages_dropped") or 0,
            passages_cut=total("passages_cut") or 0,
            prefix_tokens=total("prefix_tokens") or 0,
        )


@dataclass(slots=True)
class Scope:
    """A place in one question's program: its own coroutine, or a branch that it started."""

    recorder: Recorder
    path: Key = ()
    count: int = 0

    def next_key(self) -> Key:
        """The key of the next step or branch of this scope."""
        key = (*self.path, self.count)
        self.count += 1
        return key


_scope: ContextVar[Scope] = ContextVar("scope")


def retrieved_ids(steps: Iterable[Mapping[str, Json]]) -> list[str]:
    """Ids of all that steps say was retrieved, each once: searches, and selections of memories.

    A method may note what it likes under the name; what is no list of texts is none of ids.
    """
    noted = (step.get("retrieved_ids") for step in steps)
    lists = (ids for ids in noted if isinstance(ids, list | tuple))
    return list(dict.fromkeys(id_ for ids in lists for id_ in ids if isinstance(id_, str)))


def begin(query_id: str) -> Recorder:
    """Start recording a question in the current task."""
    recorder = Recorder(query_id)
    _scope.set(Scope(recorder))
    return recorder


def start_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    context: Context | None = None,
    **options: Any,
) -> asyncio.Task[Any]:
    """The engine's task factory: what a question starts (gather, create_task) becomes a branch.

    A branch takes its number when it is created, in argument order. Numbering it when it first
    acts would let the clock decide wherever branches start with branches of their own.
    """
    context = copy_context() if context is None else context
    parent = context.get(_scope)
    if parent is not None:
        context.run(_scope.set, Scope(parent.recorder, parent.next_key()))
    task = asyncio.Task(coroutine, loop=loop, context=context, **options)
    if parent is not None:
        parent.recorder._branches.append(task)
    return task


def current_scope() -> Scope:
    """The scope of the running coroutine."""
    try:
        return _scope.get()
    except LookupError:
        raise RuntimeError("models and retrievers answer only inside Method.answer()") from None


def note(kind: str, **data: Json) -> None:
    """Add a method's own step to the trace: a thought, a route, a score.

    Raises TypeError or ValueError for what JSON cannot hold, such as numpy numbers and NaN.
    """
    json.dumps(data, allow_nan=False)
    scope = current_scope()
    scope.recorder.record(scope.next_key(), kind, data)


@contextmanager
def timed(kind: str) -> Iterator[None]:
    """Add the wall seconds of a block to its question's seconds of ``kind``, as a call does."""
    seconds = current_scope().recorder.seconds
    start = perf_counter()
    try:
        yield
    finally:
        seconds[kind] += perf_counter() - start
