"""Scoring: predictions and gold to per-question scores. Needs no model; can be done again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import atomic_file, read_json, write_json
from harness.fingerprint import canonical_json, file_sha256
from harness.metrics import (
    METRICS_VERSION,
    RECALL_AT,
    Rules,
    added_metrics,
    check_metrics,
    score_answer,
)
from harness.records import Question
from harness.runs.directory import runs_folder
from harness.runs.manifest import MANIFEST, Manifest, TaskConfig, read_manifest
from harness.runs.predictions import documents_of, read_predictions, tells_read
from harness.runs.unanswered import read_unanswered


def gold_path(root: Path, task: TaskConfig) -> Path:
    """Where the gold of a task's questions lies, beside the runs below ``root``."""
    return root / task.name / f"questions-{task.questions_fingerprint[:12]}.jsonl"


def gold_of(folder: Path, task: TaskConfig) -> Path:
    """Where the gold of the run in ``folder`` lies."""
    return gold_path(runs_folder(folder), task)


def write_gold(path: Path, questions: Sequence[Question]) -> None:
    """Store the questions with their gold once; no method ever reads this file."""
    if path.exists():
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


def score_run(folder: Path) -> bool:
    """Score one run that has ended; returns False (and does nothing) if it has not."""
    manifest = read_manifest(folder)
    if not manifest.has_ended:
        return False
    check_metrics(manifest.metrics, str(folder / MANIFEST))
    gold = read_gold(gold_of(folder, manifest.config.task))
    predictions = folder / "predictions.jsonl"
    answered = [row for _, row in read_predictions(predictions)]
    unanswered = {} if manifest.is_finished else read_unanswered(folder)
    expected = [question_id for question_id in gold if question_id not in unanswered]
    if [row["question_id"] for row in answered] != expected:
        raise InputError(
            f"{predictions}: its {len(answered)} lines are not the run's {len(expected)} questions "
            "in order; run the same board again to complete it"
        )
    together = Together.of(answered, retriever=manifest.config.retriever is not None)
    added = added_metrics(manifest.metrics)
    rows = [
        together.score(row, gold[row["question_id"]], manifest.scoring, added) for row in answered
    ]
    with atomic_file(folder / "scores.jsonl") as file:
        file.writelines(canonical_json(row).encode() + b"\n" for row in rows)
    record = {
        "metrics_version": METRICS_VERSION,
        "predictions_sha256": file_sha256(predictions),
        **_asked_of(manifest),
    }
    write_json(folder / "scores.json", record)
    return True


def is_scored(folder: Path) -> bool:
    """Whether the scores are there: of these predictions, this metrics version, these metrics."""
    path, predictions = folder / "scores.json", folder / "predictions.jsonl"
    if not all(file.exists() for file in (path, predictions, folder / "scores.jsonl")):
        return False
    record, asked = read_json(path), _asked_of(read_manifest(folder))
    return bool(
        record.get("metrics_version") == METRICS_VERSION
        and record.get("predictions_sha256") == file_sha256(predictions)
        and {name: record[name] for name in ("metrics", "scoring") if name in record} == asked
    )


def _asked_of(manifest: Manifest) -> dict[str, Any]:
    """What the task asks of its scores, where that is more than of most tasks."""
    metrics = {"metrics": list(manifest.metrics)} if manifest.metrics else {}
    rules = {} if manifest.scoring == Rules() else {"scoring": asdict(manifest.scoring)}
    return metrics | rules


@dataclass(frozen=True, slots=True)
class Together:
    """What the predictions of a method say together, and each of them is scored by."""

    retrieves: bool
    supports: bool
    """Whether any names the documents that support it."""
    tells_read: bool
    """Whether all tell what was read."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], *, retriever: bool) -> Together:
        """What these stored predictions say, of a method with or without a retriever."""
        return cls(
            retriever or any(row["retrieved_ids"] for row in rows),
            any("support_ids" in row for row in rows),
            all(map(tells_read, rows)),
        )

    def score(
        self, row: Mapping[str, Any], gold: Mapping[str, Any], rules: Rules, added: Sequence[str]
    ) -> dict[str, Any]:
        """Score one of them; ``gold`` has its golden answers and documents."""
        # Else an error or an answer without support would leave the mean, which would then rise.
        row = {"support_ids": (), **row} if self.supports else row
        failed = row.get("error") is not None
        scores = score_answer(
            row["answer"],
            documents_of(row) if self.retrieves else None,
            gold["golden_answers"],
            gold["gold_doc_ids"],
            ks=RECALL_AT,
            rules=rules,
            added=added,
            failed=failed,
        )
        # Of all questions: a mean over those that tell it would be of other questions.
        told = {} if self.tells_read else {"recall_read": None}
        return {"question_id": row["question_id"], **scores, **told, "error": failed}


def read_gold(path: Path) -> dict[str, dict[str, Any]]:
    """What ``write_gold`` stored, by question id. Raises InputError if it is missing or damaged."""
    if not path.exists():
        raise InputError(f"{path}: the gold of these runs is missing; run the same board again")
    try:
        with path.open("rb") as file:
            rows = [json.loads(line) for line in file]
        return {row["id"]: row for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it and run the same board") from error
