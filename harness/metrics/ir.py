"""Retrieval metrics by the library ir_measures, which takes most of them from trec_eval.

Their names are the library's (MRR@10, nDCG@10, Success@5), each a value in [0, 1] of the ranking of
one question. Gold documents are relevant, all others not; nothing is graded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

EXAMPLES = ("AP", "MRR@10", "nDCG@10", "P@5", "R@5", "Rprec", "Success@5")
_NAME = re.compile(
    r"(?:(?:RR|MRR|AP|MAP|nDCG)(?:@[1-9]\d{0,3})?|(?:P|R|Success)@[1-9]\d{0,3}|Rprec)\Z"
)
_OF_ALL = ("AP", "MAP", "nDCG", "R", "Rprec")


def is_ir_metric(name: str) -> bool:
    """Whether a metric is scored by ir_measures."""
    return _NAME.match(name) is not None


def asks_for_all(name: str) -> bool:
    """Whether only a ranking with all gold documents has the full score."""
    return name.partition("@")[0] in _OF_ALL


def ir_score(name: str, ranked: Sequence[str], gold: Sequence[str]) -> float | None:
    """The score of ids, best first, each once; None without gold ids."""
    if not gold:
        return None
    if not ranked:
        return 0.0  # as trec_eval scores a question that a run leaves out
    measure = _measure(name)
    qrels = {"": dict.fromkeys(gold, 1)}
    # Equal scores would be put in the order of the ids.
    run = {"": {id_: float(-place) for place, id_ in enumerate(ranked)}}
    (found,) = measure.iter_calc(qrels, run)
    return float(found.value)


@cache
def _measure(name: str) -> Any:
    import ir_measures

    return ir_measures.parse_measure(name)
