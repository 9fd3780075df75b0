"""Scoring: predictions and gold to per-question scores. Needs no model; can be done again.

Files are read and written line by line, so memory does not grow with the number of questions.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from harness.errors import InputError, RunLockedError
from harness.files import atomic_file, locked, remove_leftovers, write_json
from harness.fingerprint import canonical_json, file_sha256
from harness.metrics import (
    METRICS_VERSION,
    RECALL_AT,
    Rules,
    added_metrics,
    check_metrics,
    score_answer,
)
from harness.runs.gold import gold_rows
from harness.runs.manifest import MANIFEST, Manifest, read_manifest
from harness.runs.predictions import documents_of, failure_kind, read_predictions, tells_read
from harness.runs.stamp import PREDICTIONS, SCORES, STAMP, asked_of, read_stamp, seal_of
from harness.runs.unanswered import read_unanswered

_BLANK = {"question_id": "", "answer": "", "retrieved_ids": [], "steps": []}
_BLANK_GOLD = {"golden_answers": ["x"], "gold_doc_ids": ["x"]}


def score_run(folder: Path) -> bool:
    """Score one run that has ended; returns False (and does nothing) if it has not."""
    manifest = read_manifest(folder)
    if not manifest.has_ended:
        return False
    scoring, written = Scoring(folder, manifest), hashlib.sha256()
    with atomic_file(folder / SCORES) as file:
        for line in scoring.lines():
            file.write(line)
            written.update(line)
    record = {
        "metrics_version": METRICS_VERSION,
        "predictions_sha256": scoring.predictions.hexdigest(),
        "scores_sha256": written.hexdigest(),
        "run_id": manifest.run_id,
        "failures": dict(sorted(scoring.failures.items())),
        **asked_of(manifest),
        "manifests": [seal_of(folder)],
    }
    write_json(folder / STAMP, record)
    return True


def score_again(folder: Path) -> bool:
    """``score_run`` of a run that nobody is writing, rid of what a killed scoring left."""
    with suppress(RunLockedError), locked(folder, "run"):
        remove_leftovers(folder)
    return score_run(folder)


def check_scores(folder: Path) -> bool:
    """Whether a run has ended; its scores are then, to the byte, what scoring makes anew.

    Raises InputError if they are not, and as scoring does.
    """
    manifest = read_manifest(folder)
    if not manifest.has_ended:
        return False
    stamp = read_stamp(folder, manifest)
    again = hashlib.sha256()
    for line in Scoring(folder, manifest).lines():
        again.update(line)
    if {again.hexdigest()} != {
        file_sha256(folder / SCORES),
        stamp.scores_sha256 or again.hexdigest(),
    }:
        raise InputError(
            f"{folder / SCORES}: not what scoring makes of the run's answers; run `memory-harness "
            f"score {folder}`"
        )
    return True


@dataclass(slots=True)
class Scoring:
    """The predictions of a run that has ended, on their way to its scores.

    ``predictions`` (the SHA-256 of what was read) and ``failures`` (answers with an error, by its
    kind) are known after the last of the ``lines``.
    """

    folder: Path
    manifest: Manifest
    predictions: Any = field(default_factory=hashlib.sha256)
    failures: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[bytes]:
        """The lines of ``scores.jsonl``.

        What an answer is scored by depends on all of them, so each is scored in every way first,
        and what none of them has is taken out at the end.
        """
        manifest, every = self.manifest, Together(retrieves=True, supports=True, tells_read=True)
        check_metrics(manifest.metrics, str(self.folder / MANIFEST))
        added = added_metrics(manifest.metrics)
        together = Together.of([], retriever=manifest.config.retriever is not None)
        with TemporaryFile() as whole:
            for gold, line, row in self._answered():
                self.predictions.update(line)
                together = together.and_of(row)
                if row.get("error") is not None:
                    self.failures[failure_kind(row["error"])] += 1
                scores = every.score(row, gold, manifest.scoring, added)
                whole.write(canonical_json(scores).encode() + b"\n")
            whole.seek(0)
            nobody = dict.fromkeys(together.lacking(manifest.scoring, added))
            for line in whole:
                yield (
                    canonical_json(json.loads(line) | nobody).encode() + b"\n" if nobody else line
                )

    def _answered(self) -> Iterator[tuple[dict[str, Any], bytes, dict[str, Any]]]:
        """Each question's gold with the line and row of its answer, in the order of both files."""
        path = self.folder / PREDICTIONS
        unanswered = {} if self.manifest.is_finished else read_unanswered(self.folder)
        gold = gold_rows(self.folder, self.manifest.config.task)
        expected = (question for question in gold if question["id"] not in unanswered)
        for question, answer in zip_longest(expected, read_predictions(path)):
            if question is None or answer is None or answer[1]["question_id"] != question["id"]:
                count = sum(1 for _ in read_predictions(path))
                asked = self.manifest.config.task.asked - len(unanswered)
                raise InputError(
                    f"{path}: its {count} lines are not the run's {asked} questions in order; run "
                    "the same board again to complete it"
                )
            yield question, *answer


@dataclass(frozen=True, slots=True)
class Together:
    """What the predictions of a method say together, and each of them is scored by."""

    retrieves: bool
    supports: bool
    """Whether any names the documents that support it."""
    tells_read: bool
    """Whether all tell what was read."""

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], *, retriever: bool) -> Together:
        """What these stored predictions say, of a method with or without a retriever."""
        together = cls(retriever, supports=False, tells_read=True)
        for row in rows:
            together = together.and_of(row)
        return together

    def and_of(self, row: Mapping[str, Any]) -> Together:
        """What they say with one more."""
        return Together(
            self.retrieves or bool(row["retrieved_ids"]),
            self.supports or "support_ids" in row,
            self.tells_read and tells_read(row),
        )

    def lacking(self, rules: Rules, added: Sequence[str]) -> list[str]:
        """Names of the scores that none of them has: of a blank one, too, they are None."""
        blank = self.score(_BLANK, _BLANK_GOLD, rules, added)
        return [name for name, value in blank.items() if value is None]

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
