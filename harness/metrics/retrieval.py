"""Retrieval metrics over gold document ids, each in [0, 1].

``found`` holds ids, best first, each once. Without gold ids a question has no retrieval score: the
value is None, and the mean over questions leaves it out.
"""

from __future__ import annotations

from collections.abc import Sequence


def recall(found: Sequence[str], gold: Sequence[str]) -> float | None:
    """Fraction of the gold documents that are among those found."""
    return len(set(found).intersection(gold)) / len(set(gold)) if gold else None


def hit(found: Sequence[str], gold: Sequence[str]) -> float | None:
    """1.0 if any gold document is among those found, else 0.0."""
    return float(not set(found).isdisjoint(gold)) if gold else None


def recall_at_k(found: Sequence[str], gold: Sequence[str], k: int) -> float | None:
    """Fraction of the gold documents that are among the first ``k``."""
    return recall(_first(found, k), gold)


def hit_at_k(found: Sequence[str], gold: Sequence[str], k: int) -> float | None:
    """1.0 if any gold document is among the first ``k``, else 0.0 (DPR's top-k accuracy)."""
    return hit(_first(found, k), gold)


def all_gold_at_k(found: Sequence[str], gold: Sequence[str], k: int) -> float | None:
    """1.0 if every gold document is among the first ``k``, else 0.0."""
    return float(set(gold).issubset(_first(found, k))) if gold else None


def precision_at_k(found: Sequence[str], gold: Sequence[str], k: int) -> float | None:
    """Gold documents among the first ``k``, divided by ``k`` (as trec_eval's P.k).

    The divisor stays ``k`` when fewer documents were found.
    """
    return len(set(_first(found, k)).intersection(gold)) / k if gold else None


def _first(found: Sequence[str], k: int) -> Sequence[str]:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    return found[:k]
