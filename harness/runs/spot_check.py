"""A spot check of scores: some answers, spread over a run's file, are scored again.

The hashes of a stamp show that files are those that were scored; this, that they were scored as
this release does. It takes the same time for a long run as for a short one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.runs.manifest import Manifest
from harness.runs.predictions import read_prediction
from harness.runs.scoring import Together
from harness.runs.stamp import PREDICTIONS

ANSWERS = 16


def scored_again(
    folder: Path, manifest: Manifest, gold: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, float | None]]]:
    """Question ids with their scores, without those that a task or a plug-in adds.

    Those may be slow, or not installed here; ``memory-harness score --check`` makes them, too. A
    score stands here also where it was left out because no answer of the run has it. Raises
    InputError for a line that is no answer to a question of the gold.
    """
    every, path = Together(retrieves=True, supports=True, tells_read=True), folder / PREDICTIONS
    for row in _spread(path):
        if row["question_id"] not in gold:
            raise InputError(
                f"{path}: answers {row['question_id']!r}, which was not asked; restore the file"
            )
        scores = every.score(row, gold[row["question_id"]], manifest.scoring, ())
        yield row["question_id"], {k: v for k, v in scores.items() if k not in _NO_SCORE}


_NO_SCORE = ("question_id", "error")


def _spread(path: Path) -> Iterator[dict[str, Any]]:
    """The first answer, and those that follow evenly spread places of the file."""
    size = path.stat().st_size
    with path.open("rb") as binary:
        for number in range(ANSWERS):
            binary.seek(number * size // ANSWERS)
            if number:
                binary.readline()  # the end of another
            if line := binary.readline():
                yield read_prediction(f"{path}, at byte {binary.tell() - len(line)}", line)
