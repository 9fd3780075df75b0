"""Demonstrations for few-shot prompts, drawn from the train split."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from harness.errors import InputError
from harness.prompts import Example, QAPrompts, demonstration

if TYPE_CHECKING:
    from harness.data.task import TaskData


def qa_prompts(data: TaskData, shots: int, seed: int) -> QAPrompts:
    """Question-answering prompts with ``shots`` train questions, the same for every method.

    The choice depends on the train questions and the seed alone. An example has those of its gold
    passages that the corpus holds.
    """
    check_shots(data, shots)
    chosen = random.Random(f"demonstrations {seed}").sample(data.train, shots)  # noqa: S311
    # Not the sub-pool, if there is one: it lacks their passages, and prompts stay the same.
    corpus = data.corpus if data.whole is None else data.whole
    examples = tuple(
        Example(question, tuple(corpus.get(id_) for id_ in question.gold_doc_ids if id_ in corpus))
        for question in chosen
    )
    demonstrations = [demonstration(e.question, [p.text for p in e.passages]) for e in examples]
    return QAPrompts(tuple(demonstrations), examples)


def check_shots(data: TaskData, shots: int) -> None:
    """Raise InputError if there are not so many train questions."""
    if shots > len(data.train):
        raise InputError(
            f"task '{data.name}': {shots} demonstrations wanted, {len(data.train)} train questions "
            "there; pass --train FILE or -p shots=0"
        )
