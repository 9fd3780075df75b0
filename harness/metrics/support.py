"""Support metrics: the documents a method names as its answer's support, against the gold ones.

The formulas are those of HotpotQA's script (supporting facts, joint) and of MuSiQue's (support
F1), each in [0, 1]. HotpotQA's facts are sentences; ours are whole documents, paragraphs in the
shipped tasks, as in MuSiQue, so the values of HotpotQA are higher than published ones. Each metric
takes ``named``, the ids a method named, and ``gold``, those of the question, not empty.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.answer import Overlap, exact_match, overlaps


def support_em(named: Sequence[str], gold: Sequence[str]) -> float:
    """1.0 if exactly the gold documents are named, else 0.0."""
    return float(set(named) == set(gold))


def support_f1(named: Sequence[str], gold: Sequence[str]) -> float:
    """Harmonic mean of the named documents' precision and recall."""
    return _f1(*_overlap(named, gold))


def joint_em(named: Sequence[str], gold: Sequence[str], answer: str, golds: Sequence[str]) -> float:
    """1.0 if answer and support both match exactly, else 0.0."""
    return exact_match(answer, golds) * support_em(named, gold)


def joint_f1(
    named: Sequence[str],
    gold: Sequence[str],
    answer: str,
    golds: Sequence[str],
    *,
    closed_answers: bool = False,
) -> float:
    """F1 of the products of the answer's and the support's precision and recall, best answer."""
    support = _overlap(named, gold)
    scores = (
        _f1(one.precision * support.precision, one.recall * support.recall)
        for one in overlaps(answer, golds, closed_answers=closed_answers)
    )
    return max(scores, default=0.0)


def _overlap(named: Sequence[str], gold: Sequence[str]) -> Overlap:
    found, wanted = set(named), set(gold)
    same = len(found & wanted)
    return Overlap(same / max(len(found), 1), same / len(wanted))


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
