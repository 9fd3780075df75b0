"""Answers on their way to a run's folder: each is appended, or a reason to stop."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from harness.engine import Answered, describe_error
from harness.errors import RunFailedError
from harness.records import Prediction
from harness.runs.directory import RunDirectory
from harness.runs.predictions import prediction_line

SAME_ERROR_LIMIT = 16


class _Stored(NamedTuple):
    """An answer as the line that is appended, and the error in it."""

    question_id: str
    line: bytes
    error: str | None


class AnswerWriter:
    """Appends predictions; stops the run when one error is all that comes.

    Errors in a row with the same text are held back until something else happens, so that a run
    stopped by, say, a dead server leaves nothing to clean up.
    """

    def __init__(self, run: RunDirectory, advance: Callable[[int], None]) -> None:
        self.run, self.advance = run, advance
        self.held: list[_Stored] = []
        self.written = 0

    def __call__(self, answered: Answered) -> None:
        """Take one answer."""
        stored = _stored(answered.question_id, answered.prediction)
        if self.held and _kind(stored.error) != _kind(self.held[-1].error):
            self._release()
        if stored.error is None:
            self._write(stored)
            return
        self.held.append(stored)
        if len(self.held) >= SAME_ERROR_LIMIT:
            self._stop()

    def close(self, everything: int) -> None:
        """Write what was held back, unless every question of the session failed alike."""
        if self.held and len(self.held) == everything and not self.run.answered:
            self._stop()
        self._release()

    def _release(self) -> None:
        for stored in self.held:
            self._write(stored)
        self.held = []

    def _write(self, stored: _Stored) -> None:
        self.run.append(stored.question_id, stored.line)
        self.written += 1
        self.advance(1)

    def _stop(self) -> None:
        raise RunFailedError(
            f"{self.run.folder}: stopped, {len(self.held)} questions in a row failed with "
            f"{self.held[-1].error}; mend the cause and run again, answers so far are "
            "kept"
        )


def _kind(error: str | None) -> str | None:
    """An error without what differs from question to question: counts, ids, addresses."""
    return error and re.sub(r"0x[0-9a-f]+|\d+", "#", error)


def _stored(question_id: str, prediction: Prediction) -> _Stored:
    """The prediction, or a failed one if it holds what cannot be stored, such as a NaN."""
    try:
        line = prediction_line(question_id, prediction)
    except (TypeError, ValueError) as error:
        prediction = Prediction("", usage=prediction.usage, error=describe_error(error))
        line = prediction_line(question_id, prediction)
    return _Stored(question_id, line, prediction.error)
