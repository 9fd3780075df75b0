"""Answers on their way to a run's folder: each is appended, or a reason to stop."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from harness.engine import Answered, Engine
from harness.errors import MachineError, RunFailedError, describe_error
from harness.fingerprint import canonical_json
from harness.method import Method
from harness.records import Prediction, Query, Step
from harness.runs.predictions import prediction_line

SAME_ERROR_LIMIT = 16


class _Taken(NamedTuple):
    """An answer as the line that is appended, or why there is none."""

    question_id: str
    line: bytes
    error: str | None = None
    unanswered: str | None = None

    @property
    def kind(self) -> str | None:
        """What failures in a row have in common; None of a good answer."""
        if self.unanswered is not None:
            return "unanswered"
        # Without what differs from question to question: counts, ids, addresses.
        return self.error and re.sub(r"0x[0-9a-f]+|\d+", "#", self.error)


class Keeper(Protocol):
    """What keeps the answers of a session: a run's directory, or a cache of another program."""

    @property
    def folder(self) -> Path:
        """How messages name it."""

    @property
    def answered(self) -> AbstractSet[str]:
        """Ids of the questions that it has."""

    def append(self, question_id: str, line: bytes) -> None:
        """Keep one ``prediction_line``."""


@contextmanager
def stopping(told: str) -> Iterator[None]:
    """Say of a failure of the machine what it stopped."""
    try:
        yield
    except MachineError as error:
        raise MachineError(f"{told}; {error}") from error


class AnswerWriter:
    """Appends predictions; stops the run when one kind of failure is all that comes.

    Failures of one kind in a row are held back until something else happens, so that a run
    stopped by, say, a dead server leaves nothing to clean up. What a server left unanswered is
    never appended: it is no answer of the method's, and the next run asks it again.
    """

    def __init__(
        self,
        run: Keeper,
        advance: Callable[[int], None],
        kept: str = "answers so far are kept",
    ) -> None:
        self.run, self.advance, self.kept = run, advance, kept
        self.held: list[_Taken] = []
        self.written = 0
        self.unanswered: dict[str, str] = {}
        """Why questions of this session were left unanswered, by question id."""

    def answer(
        self,
        engine: Engine,
        method: Method,
        queries: Sequence[Query],
        take: Callable[[Answered], None] | None = None,
    ) -> None:
        """Have the method answer every query; ``take`` hands answers on if not this does.

        Raises RunFailedError where one kind of failure is all that comes, or the machine fails.
        """
        with stopping(f"{self.run.folder}: stopped, {self.kept}"):
            engine.run(method, queries, take or self)
        self.close(everything=len(queries))

    def __call__(self, answered: Answered) -> None:
        """Take one answer."""
        taken = _taken(answered)
        if self.held and taken.kind != self.held[-1].kind:
            self._release()
        if taken.kind is None:
            self._keep(taken)
            return
        self.held.append(taken)
        if len(self.held) >= SAME_ERROR_LIMIT:
            self._stop()

    def close(self, everything: int) -> None:
        """Keep what was held back, unless every question of the session failed alike."""
        if self.held and len(self.held) == everything and not self.run.answered:
            self._stop()
        self._release()

    def _release(self) -> None:
        for taken in self.held:
            self._keep(taken)
        self.held = []

    def _keep(self, taken: _Taken) -> None:
        if taken.unanswered is not None:
            self.unanswered[taken.question_id] = taken.unanswered
            return
        self.run.append(taken.question_id, taken.line)
        self.written += 1
        self.advance(1)

    def _stop(self) -> None:
        last, count = self.held[-1], f"stopped, {len(self.held)} questions in a row"
        if last.unanswered is not None:
            raise RunFailedError(
                f"{self.run.folder}: {count} were left unanswered; see to the model's server and "
                f"run again, {self.kept}; the last: {last.unanswered}"
            )
        raise RunFailedError(
            f"{self.run.folder}: {count} failed with {last.error}; mend the cause and run again, "
            f"{self.kept}"
        )


def _taken(answered: Answered) -> _Taken:
    """The prediction, or a failed one if it holds what cannot be stored, such as a NaN."""
    question_id, prediction = answered.question_id, answered.prediction
    if answered.unanswered is not None:
        return _Taken(question_id, b"", unanswered=answered.unanswered)
    try:
        return _Taken(question_id, prediction_line(question_id, prediction), prediction.error)
    except (TypeError, ValueError) as error:
        why = describe_error(error)
    return _Taken(question_id, _stored_part(question_id, prediction, why), why)


def _stored_part(question_id: str, prediction: Prediction, why: str) -> bytes:
    """What of a prediction can be stored, as the line of a failed question."""
    steps = tuple(step for step in prediction.steps if _is_storable(step))
    failed = replace(prediction, answer="", raw="", support=None, steps=steps, error=why)
    try:
        return prediction_line(question_id, failed)
    except (TypeError, ValueError):  # the ids themselves
        return prediction_line(question_id, replace(failed, ranked=(), read=None, steps=()))


def _is_storable(step: Step) -> bool:
    try:
        canonical_json({"kind": step.kind, **step.data}).encode()
    except (TypeError, ValueError):
        return False
    return True
