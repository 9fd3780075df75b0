"""Rows of other data sets to learn from: files of questions, each with its passage.

A row is ``{"id", "question", "golden_answers", "passage": {"title", "text"}}``, a line of
``SOURCE.jsonl.gz``. Nothing that an evaluated question needs is learnt: no question of its text, no
passage that shares twelve words in a row with one of its gold.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.boards.task_entry import TaskSource
from harness.data.corpus import Corpus
from harness.data.leaks import normal_text, part_asked
from harness.errors import InputError
from harness.records import Passage, Question
from methods.parametric_qa.train.training_data import TrainingTask, bucket

SHARED_WORDS = 12
"""Words in a row that make two passages the same."""
HELD_OUT = 15
"""One passage in so many is kept for validation, with its questions."""
_WORD = re.compile(r"\w+")


class Guard:
    """What evaluated questions need: their texts, and every twelve words of their passages."""

    def __init__(self, questions: Iterable[Question], gold: Iterable[Passage]) -> None:
        self.asked = {normal_text(question.text) for question in questions}
        self.needed = {window for passage in gold for window in windows(passage.text)}

    def asks(self, question: str) -> bool:
        """Whether an evaluated question has this text."""
        return normal_text(question) in self.asked

    def needs(self, passage: Passage) -> bool:
        """Whether an evaluated question's passage says the same somewhere."""
        return not self.needed.isdisjoint(windows(passage.text))


def windows(text: str) -> Iterator[int]:
    """Hashes of every twelve words in a row; of all words if there are fewer."""
    words = _WORD.findall(text.lower())
    for start in range(max(1, len(words) - SHARED_WORDS + 1)):
        yield hash(" ".join(words[start : start + SHARED_WORDS]))


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a gzipped JSON-lines file. Raises InputError if it cannot be read."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give the folder that holds it") from (
            error
        )


def row_of(values: Mapping[str, Any], passage_id: str) -> tuple[Question, Passage]:
    """A row's question and passage. Raises KeyError or TypeError for what is no row."""
    passage = Passage(passage_id, values["passage"]["title"] or "", values["passage"]["text"])
    return Question(values["id"], values["question"], tuple(values["golden_answers"])), passage


def guard_of(sources: Iterable[TaskSource]) -> Guard:
    """What the evaluated questions of some tasks need; those without questions need nothing."""
    data = [s.load() for s in sources if s.files.questions is not None or not s.is_custom]
    return Guard(
        (question for task in data for question in task.questions),
        (task.corpus.get(id_) for task in data for q in task.questions for id_ in q.gold_doc_ids),
    )


def source_tasks(
    names: Sequence[str], tasks: Iterable[TaskSource], rows: Path | None
) -> list[TrainingTask]:
    """What files of rows lend to training, without what evaluated questions of ``tasks`` need.

    Raises InputError as ``source_task`` does.
    """
    if not names:
        return []
    guard = guard_of(tasks)
    return [source_task(name, rows, guard) for name in names]


def source_task(name: str, rows: Path | None, guard: Guard) -> TrainingTask:
    """What a file of rows lends to training. Raises InputError if it cannot be read.

    Rows with the same passage share one of the corpus, and are held out together.
    """
    if rows is None:
        raise InputError(f"source '{name}' needs the folder of its rows: --rows FOLDER")
    path = rows / f"{name}.jsonl.gz"
    ids: dict[str, str] = {}
    passages: list[Passage] = []
    questions = list[Question]()
    for number, values in enumerate(read_rows(path), 1):
        try:
            question, passage = row_of(values, f"p{len(passages)}")
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: row {number} lacks {error}; restore the file") from error
        if guard.asks(question.text) or guard.needs(passage):
            continue
        if passage.contents not in ids:
            ids[passage.contents] = passage.id
            passages.append(passage)
        questions.append(replace(question, gold_doc_ids=(ids[passage.contents],)))
    corpus = Corpus.from_passages(passages)
    held = {p.id for p in passages if bucket(p.contents) % HELD_OUT == 0}
    validation = tuple(q for q in questions if q.gold_doc_ids[0] in held)
    taught, _ = part_asked([q for q in questions if q.gold_doc_ids[0] not in held], validation)
    free = tuple(id_ for id_ in corpus.ids if id_ not in held)
    return TrainingTask(name, corpus, free, tuple(taught), validation)


def hashes(names: Sequence[str], rows: Path | None) -> dict[str, str]:
    """SHA-256 of each source's file."""
    from harness.fingerprint import file_sha256

    return {name: file_sha256(rows / f"{name}.jsonl.gz") for name in names} if rows else {}
