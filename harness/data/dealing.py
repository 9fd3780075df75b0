"""Dealing: the questions of a task dealt, like cards, into as many small pools as they need.

Fifty questions with a gold passage each do not fit into one pool of ten. Dealt, each of them is
asked once, in a pool of ten that holds its gold, and a memory is written of every pool by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.data.questions import questions_fingerprint
from harness.data.subpool import Hand
from harness.errors import InputError
from harness.fingerprint import sample_by_hash
from harness.records import Question

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.data.task import TaskData


def deal(data: TaskData, documents: int) -> list[TaskData]:
    """The data as pools of ``documents`` passages, see ``pools``; whole if that is all there are.

    Raises InputError as ``pools`` does.
    """
    if documents == len(data.corpus):
        return [data]
    try:
        found = pools(data.corpus, data.questions, documents)
    except InputError as error:
        raise InputError(f"task '{data.name}': pools of {documents:,} passages: {error}") from error
    asked = (len(data.questions), data.questions_fingerprint)
    return [
        replace(
            data,
            questions=questions,
            questions_fingerprint=questions_fingerprint(questions),
            corpus=corpus,
            corpus_fingerprint=corpus.fingerprint,
            dealt=Hand(number, len(found), *asked) if len(found) > 1 else None,
        )
        for number, (questions, corpus) in enumerate(found, start=1)
    ]


def pools(
    corpus: Corpus, questions: Sequence[Question], documents: int
) -> list[tuple[tuple[Question, ...], Corpus]]:
    """Pools of ``documents`` passages, and what is asked in each: all questions once, with gold.

    Questions go round in the order of the SHA-256 of their ids, to as few pools as hold the gold of
    all. What room is left in a pool is filled with passages that are no question's gold, in the
    order of their hashes, the next pool's after the last one's, so that no two pools share one
    while the corpus lasts. Nothing depends on a method or a seed. A single pool is what
    ``sub_pool`` gives. Raises InputError if the corpus is too small or a question's gold alone is
    more than a pool.
    """
    if documents > len(corpus):
        raise InputError(f"the corpus holds {len(corpus):,}; ask for at most that many")
    hands = _hands(corpus, questions, documents)
    gold = [_gold(corpus, hand) for hand in hands]
    others = _others(corpus, questions, [documents - len(each) for each in gold])
    return [
        (_in_order(questions, hand), corpus.part([*mine, *more]))
        for hand, mine, more in zip(hands, gold, others, strict=True)
    ]


def _hands(corpus: Corpus, questions: Sequence[Question], documents: int) -> list[list[Question]]:
    """The questions of each pool."""
    order = sample_by_hash(questions, len(questions), lambda question: question.id)
    fewest = max(1, -(-len(_gold(corpus, order)) // documents))
    for count in range(fewest, len(order) + 1):
        hands = [order[start::count] for start in range(count)]
        if all(len(_gold(corpus, hand)) <= documents for hand in hands):
            return hands
    largest = max(order, key=lambda question: len(set(question.gold_doc_ids)))
    gold = len(set(largest.gold_doc_ids))
    raise InputError(
        f"question {largest.id!r} has {gold:,} gold passages; ask for pools of {gold:,} or more"
    )


def _gold(corpus: Corpus, questions: Sequence[Question]) -> set[int]:
    return {corpus.position(id_) for question in questions for id_ in question.gold_doc_ids}


def _others(
    corpus: Corpus, questions: Sequence[Question], counts: Sequence[int]
) -> list[list[int]]:
    """So many passages for each pool that are no question's gold."""
    gold = _gold(corpus, questions)
    free = len(corpus) - len(gold)
    if max(counts) > free:
        raise InputError(
            f"one needs {max(counts):,} passages beside its gold, but {free:,} of the corpus are "
            "no question's gold; ask for smaller pools"
        )
    known = (position for position in range(len(corpus)) if position not in gold)
    sample = sample_by_hash(known, sum(counts), corpus.ids.__getitem__)
    found, start = [], 0
    for count in counts:
        found.append([sample[place % len(sample)] for place in range(start, start + count)])
        start += count
    return found


def _in_order(questions: Sequence[Question], hand: Sequence[Question]) -> tuple[Question, ...]:
    """Of all questions, in their order, those of one pool."""
    chosen = {question.id for question in hand}
    return tuple(question for question in questions if question.id in chosen)
