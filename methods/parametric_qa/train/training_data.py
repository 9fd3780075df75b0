"""Documents and questions to train the shared parts on: none that an evaluated question needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.data.card import Task
from harness.data.corpus import Corpus
from harness.data.questions import read_questions
from harness.data.splits import find_source
from harness.errors import InputError
from harness.prompts import demonstration
from harness.records import Passage, Question
from harness.registry import task_folder

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


def training_task(
    name: str, corpus: Corpus, evaluated: Iterable[Question], train: Sequence[Question]
) -> TrainingTask:
    """Part a task's features: train questions that share a gold passage or their id with an
    evaluated question are left out, and so are the passages that one needs.
    """
    asked = list(evaluated)
    needed = {gold for question in asked for gold in question.gold_doc_ids}
    known = {question.id for question in asked}
    usable = [
        q
        for q in train
        if q.id not in known and q.gold_doc_ids and not needed & set(q.gold_doc_ids)
    ]
    validation = tuple(q for q in usable if _bucket(q.id) % HELD_OUT == 0)
    needed |= {gold for question in validation for gold in question.gold_doc_ids}
    kept = tuple(q for q in usable if _bucket(q.id) % HELD_OUT and not needed & set(q.gold_doc_ids))
    free = tuple(id_ for id_ in corpus.ids if id_ not in needed)
    return TrainingTask(name, corpus, free, kept, validation)


def shipped_task(name: str) -> TrainingTask:
    """The features of a task's shipped sample. Raises InputError if it ships no train questions."""
    task = Task.from_folder(task_folder(name))
    source = find_source(task, "sample", None, None, verify=True)
    paths = {part: source.find(part) for part in ("questions", "train", "corpus")}
    if None in paths.values():
        missing = ", ".join(part for part, path in paths.items() if path is None)
        raise InputError(f"task '{name}' ships no {missing}; leave it out of the recipe's tasks")
    questions, train, corpus = (paths[part] for part in ("questions", "train", "corpus"))
    assert questions and train and corpus
    return training_task(
        name, Corpus.open(corpus), read_questions(questions), read_questions(train)
    )


def golden_answer(corpus: Corpus | Mapping[str, Passage], question: Question) -> str:
    """The golden answer that the gold passages use, or the shortest (see ``demonstration``)."""
    found = [corpus.get(id_) for id_ in question.gold_doc_ids if id_ in corpus]
    return demonstration(question, [p.contents for p in found if p is not None]).reply


def _bucket(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
