"""Scores of one question. A change in any value's meaning raises ``METRICS_VERSION``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import nan
from numbers import Real
from typing import Any, Literal

from harness.errors import HarnessError, InputError, describe_error, did_you_mean
from harness.metrics.answer import contains, exact_match, token_f1
from harness.metrics.ir import EXAMPLES, asks_for_all, ir_score, is_ir_metric
from harness.metrics.retrieval import (
    all_gold_at_k,
    hit,
    hit_at_k,
    precision_at_k,
    recall,
    recall_at_k,
)
from harness.metrics.support import joint_em, joint_f1, support_em, support_f1
from harness.registry import added as of_plugins
from harness.registry import is_known, load

METRICS_VERSION = 4
RECALL_AT = (5, 10, 15, 20)
"""Cut-offs at which retrieval is scored; a leaderboard shows one of them."""

Metric = Callable[[str, Sequence[str]], float]
"""An answer and its golden answers, of which the best counts, to a score in [0, 1]."""

_ALWAYS = ("em", "f1", "contains")
_OWN = {
    "contains_words": "harness.metrics.answer:contains_words",
    "em_folded": "harness.metrics.answer:exact_match_folded",
    "em_triviaqa": "harness.metrics.answer:exact_match_triviaqa",
    "f1_triviaqa": "harness.metrics.answer:token_f1_triviaqa",
    "rouge_l": "harness.metrics.text:rouge_l",
    "bleu": "harness.metrics.text:sentence_bleu",
}
_SUPPORT = ("support_em", "support_f1", "joint_em", "joint_f1")
_AT_K = ("recall", "hit", "all_gold", "precision")
_WHOLE = ("recall_read", "recall_retrieved", "retrieved")


@dataclass(frozen=True, slots=True)
class Rules:
    """How a task is scored, where tasks differ."""

    gold: Literal["all", "any"] = "all"
    """Whether an answer takes all gold documents, or any of them gives it."""
    closed_answers: bool = False
    """F1 gives "yes", "no" and "noanswer" nothing for a partial overlap (HotpotQA's rule)."""


@dataclass(frozen=True, slots=True)
class Documents:
    """Ids of the documents of one answer, each once.

    ``ranked``: best first. ``read``: what the model was shown. ``retrieved``: all that came up in
    any step, ``ranked`` and ``read`` among it. ``support``: what the method names as its answer's
    support; None if it names nothing.
    """

    ranked: Sequence[str] = ()
    read: Sequence[str] = ()
    retrieved: Sequence[str] = ()
    support: Sequence[str] | None = None


def answer_metrics() -> dict[str, Any]:
    """Answer metrics that a task may add: ``module:function`` (a ``Metric``) or the function."""
    return {**_OWN, **of_plugins("metrics")}


def shipped() -> dict[str, Any]:
    """The house's own names; those without a target are scored in another way."""
    return {**dict.fromkeys((*_ALWAYS, *_SUPPORT)), **_OWN}


def check_metrics(names: Iterable[str], where: str, rules: Rules | None = None) -> None:
    """Raise InputError, which begins with ``where``, for a name that is not scored."""
    retrieval = (f"{name}@{k}" for name in _AT_K for k in RECALL_AT)
    own = [*_WHOLE, *retrieval]
    for name in names:
        if name not in own and not _is_scored_if_named(name):
            known = [*_ALWAYS, *answer_metrics(), *_SUPPORT, *own, *EXAMPLES]
            raise InputError(f"{where}: unknown metric '{name}'{did_you_mean(name, known)}")
        of_all = name in _SUPPORT or name.startswith("all_gold@")
        of_all |= is_ir_metric(name) and asks_for_all(name)
        if of_all and rules is not None and rules.gold == "any":
            raise InputError(
                f"{where}: '{name}' asks for all gold documents, but 'gold' is 'any'; drop one"
            )


def added_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """Those among a task's metrics that are not scored for every task."""
    every = tuple(dict.fromkeys(names))
    return tuple(name for name in every if is_added(name) and _is_scored_if_named(name))


def _is_scored_if_named(name: str) -> bool:
    return is_ir_metric(name) or is_known("metrics", name)


def try_metrics(names: Iterable[str], golden_answers: Sequence[str]) -> None:
    """Raise InputError if an answer metric cannot score an empty answer, or a golden one."""
    for name in added_metrics(names):
        if not is_ir_metric(name) and name not in _SUPPORT:
            # Questions of others may come without gold; there is nothing to score then.
            for answer in ("", *golden_answers[:1]) if golden_answers else ():
                answer_score(name, answer, golden_answers)


def answer_score(name: str, answer: str, golden_answers: Sequence[str]) -> float:
    """The score of one answer by an answer metric's name.

    Raises InputError if the metric fails, or gives anything but a number in [0, 1].
    """
    metric: Any = load("metrics", name)
    try:
        value = metric(answer, golden_answers)
    except Exception as error:
        if isinstance(error, HarnessError):
            raise
        told = describe_error(error)
        raise InputError(
            f"metric '{name}' failed on the answer {answer!r:.60}: {told}; {_MEND}"
        ) from error
    score = float(value) if isinstance(value, Real) else nan
    if not 0 <= score <= 1:
        raise InputError(
            f"metric '{name}' gave {value!r} for the answer {answer!r:.60}, not a number from 0 to "
            f"1; {_MEND}"
        )
    return score


_MEND = "mend it; answers are kept, the same command or `memory-harness score` goes on"


def is_added(name: str) -> bool:
    """Whether a score is there only because a task, or a plug-in, adds it."""
    return name not in (*_ALWAYS, *_WHOLE) and name.partition("@")[0] not in _AT_K


def score_answer(
    answer: str,
    documents: Documents | None,
    golden_answers: Sequence[str],
    gold_doc_ids: Sequence[str],
    ks: Sequence[int] = (5,),
    *,
    rules: Rules = Rules(),
    added: Sequence[str] = (),
    failed: bool = False,
) -> dict[str, float | None]:
    """Score one answer: of the answer, of its documents, and what the task adds.

    Args:
        answer: the method's answer.
        documents: what it retrieved and read; None if it does not retrieve.
        golden_answers, gold_doc_ids: acceptable answers, the documents that hold them.
        ks: cut-offs of the retrieval metrics.
        rules: how the task is scored.
        added: further metrics, by name.
        failed: the question ended in an error, so its answer and its support score 0, whatever
            was returned; what was retrieved before is scored as it is.

    Returns:
        Values in [0, 1]: ``em``, ``f1``, ``contains``; for each k ``recall@k``, ``hit@k``,
        ``all_gold@k``, ``precision@k`` of the ranking; ``recall_read`` and ``recall_retrieved``;
        ``retrieved``, 1 if anything was retrieved. Retrieval values, added ones among them, are
        None without retrieval and, but for ``retrieved``, without gold ids. Where any gold document
        gives the answer, recalls are hits and there is no ``all_gold``. Support values are None if
        the method names none.
    """
    if failed:
        answer, golden_answers = "", ()
        if documents is not None and documents.support is not None:
            documents = replace(documents, support=())
    scores: dict[str, float | None] = {
        "em": exact_match(answer, golden_answers),
        "f1": token_f1(answer, golden_answers, closed_answers=rules.closed_answers),
        "contains": contains(answer, golden_answers),
    }
    found = _added_scores(answer, documents, golden_answers, gold_doc_ids, rules, added, failed)
    scores |= found
    return scores | _retrieval_scores(documents, gold_doc_ids, ks, rules)


def _added_scores(
    answer: str,
    documents: Documents | None,
    golden_answers: Sequence[str],
    gold: Sequence[str],
    rules: Rules,
    added: Sequence[str],
    failed: bool,
) -> dict[str, float | None]:
    scores: dict[str, float | None] = {}
    named = None if documents is None or not gold else documents.support
    for name in added:
        if is_ir_metric(name):
            scores[name] = None if documents is None else ir_score(name, documents.ranked, gold)
        elif name not in _SUPPORT:
            # Of a failed answer no golden ones are left to compare it with.
            scores[name] = 0.0 if failed else answer_score(name, answer, golden_answers)
        elif named is None:
            scores[name] = None
        elif name == "joint_em":
            scores[name] = joint_em(named, gold, answer, golden_answers)
        elif name == "joint_f1":
            scores[name] = joint_f1(
                named, gold, answer, golden_answers, closed_answers=rules.closed_answers
            )
        else:
            scores[name] = (support_em if name == "support_em" else support_f1)(named, gold)
    return scores


def _retrieval_scores(
    documents: Documents | None, gold: Sequence[str], ks: Sequence[int], rules: Rules
) -> dict[str, float | None]:
    if documents is None:
        names = [f"{name}@{k}" for k in ks for name in _AT_K]
        return dict.fromkeys([*names, *_WHOLE])
    is_any, ranked = rules.gold == "any", documents.ranked
    scores: dict[str, float | None] = {}
    for k in ks:
        scores[f"recall@{k}"] = (hit_at_k if is_any else recall_at_k)(ranked, gold, k)
        scores[f"hit@{k}"] = hit_at_k(ranked, gold, k)
        scores[f"all_gold@{k}"] = None if is_any else all_gold_at_k(ranked, gold, k)
        scores[f"precision@{k}"] = precision_at_k(ranked, gold, k)
    share = hit if is_any else recall
    return {
        **scores,
        "recall_read": share(documents.read, gold),
        "recall_retrieved": share(documents.retrieved, gold),
        "retrieved": float(bool(documents.retrieved)),
    }
