"""Scores of one question. A change in any value's meaning raises ``METRICS_VERSION``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from harness.errors import InputError, did_you_mean
from harness.metrics.answer import contains, exact_match, token_f1
from harness.metrics.retrieval import all_gold_at_k, precision_at_k, recall_at_k
from harness.registry import added as of_plugins
from harness.registry import resolve

METRICS_VERSION = 2
RECALL_AT = (5, 10, 15, 20)
"""Cut-offs at which retrieval is scored; a leaderboard shows one of them."""

Metric = Callable[[str, Sequence[str]], float]
"""An answer and its golden answers, of which the best counts, to a score in [0, 1]."""

_ALWAYS = {"em": exact_match, "f1": token_f1, "contains": contains}
_OWN = {
    **_ALWAYS,
    "rouge_l": "harness.metrics.text:rouge_l",
    "bleu": "harness.metrics.text:sentence_bleu",
}
_RETRIEVAL = {"recall": recall_at_k, "all_gold": all_gold_at_k, "precision": precision_at_k}


def answer_metrics() -> dict[str, Any]:
    """Every answer metric's name and ``module:function`` (a ``Metric``) or the function itself."""
    return {**_OWN, **of_plugins("metrics", _OWN)}


def check_metrics(names: Iterable[str], where: str) -> None:
    """Raise InputError, which begins with ``where``, for a name that is not scored."""
    known = [*answer_metrics(), *(f"{name}@{k}" for name in _RETRIEVAL for k in RECALL_AT)]
    for name in names:
        if name not in known:
            raise InputError(f"{where}: unknown metric '{name}'{did_you_mean(name, known)}")


def added_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Those answer metrics among a task's metrics that are not scored for every task."""
    extra = answer_metrics().keys() - _ALWAYS
    return tuple(name for name in dict.fromkeys(names) if name in extra)


def score_answer(
    answer: str,
    retrieved_ids: Sequence[str] | None,
    golden_answers: Sequence[str],
    gold_doc_ids: Sequence[str],
    ks: Sequence[int] = (5,),
    *,
    added: Sequence[str] = (),
    failed: bool = False,
) -> dict[str, float | None]:
    """Score one answer: ``em``, ``f1``, ``contains`` and, for each k, ``recall@k`` and its kin.

    Args:
        answer: the method's answer.
        retrieved_ids: what it retrieved, best first, each id once; None if it does not retrieve.
        golden_answers: acceptable answers; the best one counts.
        gold_doc_ids: documents that hold the answer, in any order.
        ks: cut-offs of the retrieval metrics.
        added: further answer metrics, by name.
        failed: the question ended in an error, so every score is 0, whatever was returned.

    Returns:
        Values in [0, 1]. Retrieval values are None without gold ids or without retrieval.
    """
    if failed:
        answer, golden_answers = "", ()
        retrieved_ids = None if retrieved_ids is None else ()
    scores: dict[str, float | None] = {
        name: metric(answer, golden_answers) for name, metric in _ALWAYS.items()
    }
    if added:  # only then are plug-ins looked through
        table = answer_metrics()
        for name in added:
            scores[name] = resolve(table[name], f"metric '{name}'")(answer, golden_answers)
    gold = () if retrieved_ids is None else gold_doc_ids
    for k in ks:
        for name, metric in _RETRIEVAL.items():
            scores[f"{name}@{k}"] = metric(retrieved_ids or (), gold, k)
    return scores
