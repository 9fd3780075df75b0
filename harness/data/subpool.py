"""Sub-pools: a corpus cut to fewer documents in which every evaluated question keeps its gold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.fingerprint import sample_by_hash
from harness.records import Question


@dataclass(frozen=True, slots=True)
class Hand:
    """Which of several ``pools`` of one size data are; ``number`` counts from 1.

    ``questions`` and their fingerprint are of all pools together.
    """

    number: int
    pools: int
    questions: int
    questions_fingerprint: str


def sub_pool(corpus: Corpus, questions: Sequence[Question], documents: int) -> Corpus:
    """``documents`` passages of ``corpus`` in its order: the gold of ``questions`` and others.

    The others are those whose ids have the smallest SHA-256: a fixed random sample, and for the
    same questions a larger pool contains a smaller one. Raises InputError if the gold does not
    fit or the corpus is too small.
    """
    gold = {corpus.position(id_) for question in questions for id_ in question.gold_doc_ids}
    if documents > len(corpus):
        raise InputError(
            f"documents is {documents:,}, but the corpus holds {len(corpus):,} passages; "
            f"ask for at most {len(corpus):,}"
        )
    if documents < max(1, len(gold)):
        raise InputError(
            f"documents is {documents:,}, but the {len(questions):,} questions have {len(gold):,} "
            f"gold documents; ask for {max(1, len(gold)):,} or more, or limit the questions"
        )
    if documents == len(corpus):
        return corpus
    others = (position for position in range(len(corpus)) if position not in gold)
    sample = sample_by_hash(others, documents - len(gold), corpus.ids.__getitem__)
    return corpus.part([*gold, *sample])
