"""Gold of the questions that runs asked, beside them: written once, checked whenever it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.data.questions import questions_fingerprint
from harness.errors import InputError
from harness.files import atomic_file, parsed_json
from harness.fingerprint import canonical_json, file_sha256
from harness.records import Question
from harness.runs.directory import runs_folder
from harness.runs.manifest import TaskConfig


def gold_path(root: Path, task: TaskConfig) -> Path:
    """Where the gold of a task's questions lies, beside the runs below ``root``."""
    return root / task.name / f"questions-{task.questions_fingerprint[:12]}.jsonl"


def gold_of(folder: Path, task: TaskConfig) -> Path:
    """Where the gold of the run in ``folder`` lies."""
    return gold_path(runs_folder(folder), task)


def write_gold(path: Path, questions: Sequence[Question]) -> None:
    """Store the questions with their gold once; no method ever reads this file.

    Its lines are what ``questions_fingerprint`` is the hash of, so the file's own hash is that.
    Raises InputError if another gold is there.
    """
    if path.exists():
        _check(path, questions_fingerprint(questions))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        for question in questions:
            row = {
                "id": question.id,
                "question": question.text,
                "golden_answers": list(question.golden_answers),
                "gold_doc_ids": list(question.gold_doc_ids),
            }
            file.write(canonical_json(row).encode() + b"\n")


def check_gold(path: Path, task: TaskConfig) -> None:
    """Raise InputError unless the file holds what the task's fingerprint is of, to the byte."""
    if not path.exists():
        raise InputError(f"{path}: the gold of these runs is missing; run the same board again")
    _check(path, task.questions_fingerprint)


def _check(path: Path, fingerprint: str) -> None:
    found = file_sha256(path)
    if found != fingerprint:
        raise InputError(
            f"{path}: damaged or edited: its fingerprint is {found[:12]}, the runs were asked "
            f"{fingerprint[:12]}; restore it, or delete it and run the same board"
        )


def gold_rows(folder: Path, task: TaskConfig) -> Iterator[dict[str, Any]]:
    """What ``write_gold`` stored of a run's questions, in their order, one at a time.

    Raises InputError if it is missing, damaged or was edited.
    """
    path = gold_of(folder, task)
    check_gold(path, task)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            yield _gold_row(path, number, line)


def _gold_row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = parsed_json(line)
        texts = [row["id"], row["question"], *row["golden_answers"], *row["gold_doc_ids"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}:{number}: no gold of a question ({error}); {_AGAIN}") from error
    lists = isinstance(row["golden_answers"], list) and isinstance(row["gold_doc_ids"], list)
    if not lists or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{path}:{number}: gold that is of another type; {_AGAIN}")
    return dict(row)


_AGAIN = "delete the file and run the same board"


def read_gold(folder: Path, task: TaskConfig) -> dict[str, dict[str, Any]]:
    """The same by question id."""
    return {row["id"]: row for row in gold_rows(folder, task)}
