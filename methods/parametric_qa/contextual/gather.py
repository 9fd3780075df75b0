"""Data of a contextual training: rows and free passages as token ids, and what they are of.

Nothing that an evaluated question needs is among them: no question of its text, no passage that
is its gold or shares twelve words in a row with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.fingerprint import file_sha256
from harness.records import Passage, Question
from methods.parametric_qa.train.row_sources import Guard, read_rows, row_of

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from methods.parametric_qa.train.training_data import TrainingTask

HELD_OUT = 15
"""One passage of the last source's in so many is kept for validation, with its questions."""
HARD = 3


@dataclass
class Gathered:
    """Passages by text, and rows: question, golden answer, numbers of gold passages."""

    passages: list[Passage] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, passage: Passage) -> int:
        """The number of a passage, which is the same for the same text."""
        text = passage.contents
        if text not in self.numbers:
            self.numbers[text] = len(self.passages)
            self.passages.append(Passage(f"p{len(self.passages)}", passage.title, passage.text))
        return self.numbers[text]

    def skip(self, why: str) -> None:
        """Count what is left out."""
        self.left_out[why] = self.left_out.get(why, 0) + 1


@dataclass(frozen=True, slots=True)
class Row:
    """A question to learn from, or to validate on."""

    source: str
    question: str
    answer: str
    golden: tuple[str, ...]
    gold: tuple[int, ...]
    held_out: bool
    weight: float

    @property
    def text(self) -> str:
        """What it asks."""
        return self.question


def gather(
    tasks: Sequence[TrainingTask],
    evaluated: Mapping[str, tuple[Sequence[Question], Corpus]],
    rows: Path | None,
    weights: Mapping[str, float],
) -> Gathered:
    """Rows of the tasks' train questions and of ``rows`` (FILE.jsonl.gz by source).

    ``evaluated`` are each task's questions that are asked, with their corpus.
    """
    guard = Guard(
        (q for questions, _ in evaluated.values() for q in questions),
        (c.get(id_) for qs, c in evaluated.values() for q in qs for id_ in q.gold_doc_ids),
    )
    found = Gathered()
    for source, weight in weights.items():
        if rows is None:
            raise InputError(f"source '{source}' needs the folder of its rows: --rows FOLDER")
        for number, values in enumerate(read_rows(rows / f"{source}.jsonl.gz")):
            _add_row(found, guard, source, weight, values, number)
    for task in tasks:
        _add_task(found, guard, task)
    return found


def _add_row(
    found: Gathered,
    guard: Guard,
    source: str,
    weight: float,
    values: Mapping[str, Any],
    number: int,
) -> None:
    from harness.prompts import demonstration

    question, passage = row_of(values, str(number))
    if guard.asks(question.text):
        return found.skip("question asked")
    if guard.needs(passage):
        return found.skip("passage needed")
    held_out = source == "nq_qed_train" and _bucket(passage.contents) % HELD_OUT == 0
    answer = demonstration(question, [passage.contents]).reply
    gold = (found.add(passage),)
    row = Row(source, question.text, answer, question.golden_answers, gold, held_out, weight)
    found.rows.append(row)
    return None


def _add_task(found: Gathered, guard: Guard, task: TrainingTask) -> None:
    from methods.parametric_qa.train.training_data import golden_answer

    free = dict.fromkeys(id_ for id_ in task.free if not guard.needs(task.corpus.get(id_)))
    for question in task.questions:
        held_out = question in task.validation
        passages = [task.corpus.get(id_) for id_ in question.gold_doc_ids]
        if guard.asks(question.text):
            found.skip("question asked")
        elif any(guard.needs(passage) for passage in passages):
            found.skip("passage needed")
        else:
            gold = tuple(found.add(passage) for passage in passages)
            answer = golden_answer(task.corpus, question)
            golden = question.golden_answers
            found.rows.append(Row(task.name, question.text, answer, golden, gold, held_out, 1.0))
    for id_ in free:
        found.add(task.corpus.get(id_))


def _bucket(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def hard_negatives(found: Gathered) -> list[list[int]]:
    """For each row the numbers of BM25's best passages that hold no golden answer."""
    from harness.data.corpus import Corpus
    from harness.metrics.answer import normalise
    from harness.retrieval.open import open_retriever

    retriever = open_retriever("bm25", Corpus.from_passages(found.passages))
    texts = [f" {normalise(passage.contents)} " for passage in found.passages]
    negatives = []
    size = 512
    for start in range(0, len(found.rows), size):
        part = found.rows[start : start + size]
        for row, hits in zip(part, retriever.search([r.question for r in part], 12), strict=True):
            named = [f" {normalise(answer)} " for answer in row.golden]
            ranked = [int(hit.id[1:]) for hit in hits]
            wrong = [
                n
                for n in ranked
                if n not in row.gold and not any(name in texts[n] for name in named)
            ]
            negatives.append(wrong[:HARD])
    return negatives


def account(
    found: Gathered,
    rows: Path | None,
    weights: Mapping[str, float],
    corpora: Mapping[str, str],
) -> dict[str, Any]:
    """What training learnt from: counts by source, hashes of files, what was left out and why.

    ``corpora`` are the fingerprints of the tasks' corpora.
    """
    counts: dict[str, dict[str, int]] = {}
    for row in found.rows:
        kinds = counts.setdefault(row.source, {"train": 0, "held out": 0})
        kinds["held out" if row.held_out else "train"] += 1
    hashes = {name: file_sha256(rows / f"{name}.jsonl.gz") for name in weights} if rows else {}
    return {
        "questions": counts,
        "corpora": dict(corpora),
        "passages": len(found.passages),
        "files": hashes,
        "left out": found.left_out,
    }
