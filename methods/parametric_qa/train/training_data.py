"""Documents and questions to train the shared parts on: none that an evaluated question needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.boards.task_entry import TaskSource
from harness.data.corpus import Corpus
from harness.data.leaks import part_asked
from harness.data.questions import check_gold
from harness.errors import ConfigError, InputError
from harness.prompts import demonstration
from harness.records import Passage, Question

HELD_OUT = 5
"""One train question in so many is kept for validation, chosen by the hash of its id."""


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """What one task lends to training.

    ``free`` are the ids of passages that are gold for no evaluated and no validation question;
    ``corpus`` holds more, among them the gold passages of ``validation``.
    """

    name: str
    corpus: Corpus
    free: tuple[str, ...]
    train: tuple[Question, ...]
    validation: tuple[Question, ...]

    @property
    def questions(self) -> tuple[Question, ...]:
        """All that training sees of its questions, validation included."""
        return (*self.train, *self.validation)


def training_task(
    name: str, corpus: Corpus, evaluated: Iterable[Question], train: Sequence[Question]
) -> TrainingTask:
    """Part a task's features: train questions that share a gold passage, their id or their text
    (normalised) with an evaluated question are left out, and so are the passages that one needs.
    """
    asked = list(evaluated)
    needed = {gold for question in asked for gold in question.gold_doc_ids}
    known = {question.id for question in asked}
    usable = [
        q
        for q in part_asked(train, asked)[0]
        if q.id not in known and q.gold_doc_ids and not needed & set(q.gold_doc_ids)
    ]
    validation = tuple(q for q in usable if bucket(q.id) % HELD_OUT == 0)
    needed |= {gold for question in validation for gold in question.gold_doc_ids}
    kept = tuple(q for q in usable if bucket(q.id) % HELD_OUT and not needed & set(q.gold_doc_ids))
    kept, _ = part_asked(kept, validation)
    free = tuple(id_ for id_ in corpus.ids if id_ not in needed)
    return TrainingTask(name, corpus, free, kept, validation)


def read_training_task(source: TaskSource) -> TrainingTask:
    """The features of a task: the questions of its split are evaluated, its train questions taught.

    Files of one's own need no questions to be asked: ``files: {train: FILE, corpus: FILE}``. Raises
    InputError for a task without train questions.
    """
    files = source.files
    if files.train and not files.questions and source.is_custom:
        if not files.corpus:
            raise InputError(
                f"task '{source.name}' needs the corpus of its train questions; give files: "
                "{corpus: FILE}"
            )
        name, corpus = source.corpus()
        train = source.train_questions()
        _check_gold(files.train, train, corpus)
        return training_task(name, corpus, (), train)
    data = source.load()
    if not data.train:
        raise InputError(
            f"task '{data.name}' has no train questions to learn from; leave it out or give "
            "files: {train: FILE}"
        )
    _check_gold(Path(data.provenance["train"]), data.train, data.corpus)
    return training_task(data.name, data.corpus, data.questions, data.train)


def _check_gold(path: Path, train: Sequence[Question], corpus: Corpus) -> None:
    """Raise InputError unless gold passages are of the corpus, and some question names one."""
    check_gold(path, train, corpus)
    if not any(question.gold_doc_ids for question in train):
        raise InputError(
            f"{path}: none of its {len(train)} questions names a gold passage, and what is learnt "
            "is how to answer from one; give metadata.gold_doc_ids, ids of the corpus"
        )


def read_training_tasks(sources: Iterable[TaskSource]) -> list[TrainingTask]:
    """The features of several tasks. Raises ConfigError if two have the same name."""
    tasks = list(map(read_training_task, sources))
    names = [task.name for task in tasks]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"task '{twice}' stands twice in the recipe; give each another name")
    return tasks


def golden_answer(corpus: Corpus | Mapping[str, Passage], question: Question) -> str:
    """The golden answer that the gold passages use, or the shortest (see ``demonstration``)."""
    found = [corpus.get(id_) for id_ in question.gold_doc_ids if id_ in corpus]
    return demonstration(question, [p.contents for p in found if p is not None]).reply


def bucket(text: str) -> int:
    """A number that depends on the text alone, to part rows by."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
