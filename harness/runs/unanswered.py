"""Unanswered questions of a run: those whose server failed, which is no fault of the method.

They stand in ``unanswered.jsonl`` (question_id, reason) and not among the predictions, so that they
are neither wrong answers nor errors; running the same board again asks exactly them. Until none
is left the run's status is ``incomplete``. It is scored on what it answered, and a leaderboard
compares all rows of a table over the questions that each of them answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import InputError
from harness.files import atomic_file, parsed_json, writing
from harness.fingerprint import canonical_json

UNANSWERED = "unanswered.jsonl"


def read_unanswered(folder: Path) -> dict[str, str]:
    """The reason by question id; empty where every question was answered. Raises InputError."""
    path = folder / UNANSWERED
    if not path.exists():
        return {}
    try:
        rows = [parsed_json(line) for line in path.read_bytes().split(b"\n") if line]
        return {str(row["question_id"]): str(row["reason"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: damaged ({error}); delete it and run the same board again"
        ) from error


def write_unanswered(folder: Path, reasons: Mapping[str, str]) -> None:
    """Replace the file atomically; without any question it is removed."""
    path = folder / UNANSWERED
    if not reasons:
        with writing(path):
            path.unlink(missing_ok=True)
        return
    with atomic_file(path) as file:
        for question_id, reason in reasons.items():
            row = {"question_id": question_id, "reason": reason}
            file.write(canonical_json(row).encode() + b"\n")
