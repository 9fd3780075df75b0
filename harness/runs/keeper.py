"""What becomes of each answer: appended to the run, or a reason to stop it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from harness.engine import Answered, describe_error
from harness.errors import RunFailedError
from harness.records import Prediction
from harness.runs.directory import RunDirectory, prediction_line

SAME_ERROR_LIMIT = 16


class Keeper:
    """Appends predictions; stops the run when one error is all that comes.

    Errors in a row with the same text are held back until something else happens, so that a run
    stopped by, say, a dead server leaves nothing to clean up.
    """

    def __init__(self, run: RunDirectory, advance: Callable[[int], None]) -> None:
        self.run, self.advance = run, advance
        self.held: list[Answered] = []
        self.written = 0

    def __call__(self, answered: Answered) -> None:
        """Take one answer."""
        answered = _storable(answered)
        error = answered.prediction.error
        if self.held and _kind(error) != _kind(self.held[-1].prediction.error):
            self._release()
        if error is None:
            self._write(answered)
            return
        self.held.append(answered)
        if len(self.held) >= SAME_ERROR_LIMIT:
            self._stop()

    def close(self, everything: int) -> None:
        """Write what was held back, unless every question of the session failed alike."""
        if self.held and len(self.held) == everything and not self.run.answered:
            self._stop()
        self._release()

    def _release(self) -> None:
        for answered in self.held:
            self._write(answered)
        self.held = []

    def _write(self, answered: Answered) -> None:
        self.run.append(answered.question_id, answered.prediction)
        self.written += 1
        self.advance(1)

    def _stop(self) -> None:
        raise RunFailedError(
            f"{self.run.folder}: stopped, {len(self.held)} questions in a row failed with "
            f"{self.held[-1].prediction.error}; mend the cause and run again, answers so far are "
            "kept"
        )


def _kind(error: str | None) -> str | None:
    """An error without what differs from question to question: counts, ids, addresses."""
    return error and re.sub(r"0x[0-9a-f]+|\d+", "#", error)


def _storable(answered: Answered) -> Answered:
    """The same, or a failed answer if it holds what cannot be stored, such as a NaN."""
    try:
        prediction_line(answered.question_id, answered.prediction)
    except (TypeError, ValueError) as error:
        usage = answered.prediction.usage
        failed = Prediction("", usage=usage, error=describe_error(error))
        return replace(answered, prediction=failed)
    return answered
