"""Scores of one question. A change in any value's meaning raises ``METRICS_VERSION``."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.answer import contains, exact_match, token_f1
from harness.metrics.retrieval import all_gold_at_k, precision_at_k, recall_at_k

METRICS_VERSION = 2


def score_answer(
    answer: str,
    retrieved_ids: Sequence[str] | None,
    golden_answers: Sequence[str],
    gold_doc_ids: Sequence[str],
    ks: Sequence[int] = (5,),
    *,
    failed: bool = False,
) -> dict[str, float | None]:
    """Score one answer: ``em``, ``f1``, ``contains`` and, for each k, ``recall@k`` and its kin.

    Args:
        answer: the method's answer.
        retrieved_ids: what it retrieved, best first, each id once; None if it does not retrieve.
        golden_answers: acceptable answers; the best one counts.
        gold_doc_ids: documents that hold the answer, in any order.
        ks: cut-offs of the retrieval metrics.
        failed: the question ended in an error, so every score is 0, whatever was returned.

    Returns:
        Values in [0, 1]. Retrieval values are None without gold ids or without retrieval.
    """
    if failed:
        answer, golden_answers = "", ()
        retrieved_ids = None if retrieved_ids is None else ()
    scores: dict[str, float | None] = {
        "em": exact_match(answer, golden_answers),
        "f1": token_f1(answer, golden_answers),
        "contains": contains(answer, golden_answers),
    }
    gold = () if retrieved_ids is None else gold_doc_ids
    for k in ks:
        scores[f"recall@{k}"] = recall_at_k(retrieved_ids or (), gold, k)
        scores[f"all_gold@{k}"] = all_gold_at_k(retrieved_ids or (), gold, k)
        scores[f"precision@{k}"] = precision_at_k(retrieved_ids or (), gold, k)
    return scores
