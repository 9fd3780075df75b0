"""Retrieval metrics over gold document ids, each in [0, 1].

``retrieved`` holds ids, best first, each once. Without gold ids a question has no retrieval score:
the value is None, and the mean over questions leaves it out.
"""

from __future__ import annotations

from collections.abc import Sequence


def recall_at_k(retrieved: Sequence[str], gold: Sequence[str], k: int) -> float | None:
    """Fraction of the gold documents that are among the first ``k`` retrieved."""
    return _found(retrieved, gold, k) / len(set(gold)) if gold else None


def all_gold_at_k(retrieved: Sequence[str], gold: Sequence[str], k: int) -> float | None:
    """1.0 if every gold document is among the first ``k`` retrieved, else 0.0."""
    return float(_found(retrieved, gold, k) == len(set(gold))) if gold else None


def precision_at_k(retrieved: Sequence[str], gold: Sequence[str], k: int) -> float | None:
    """Gold documents among the first ``k`` retrieved, divided by ``k`` (as trec_eval's P.k).

    The divisor stays ``k`` when fewer documents were retrieved.
    """
    return _found(retrieved, gold, k) / k if gold else None


def _found(retrieved: Sequence[str], gold: Sequence[str], k: int) -> int:
    _check(k)
    return len(set(retrieved[:k]).intersection(gold))


def _check(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
