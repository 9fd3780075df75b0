"""Answer metrics: one prediction against its golden answers, each in [0, 1].

Texts are compared after SQuAD normalisation (Rajpurkar et al., 2016), and the best golden answer
counts. The values are those of FlashRAG's ``em``, ``f1`` and ``acc``, but for one rule: a golden
answer of which normalisation leaves nothing ("The", "!", "A") is right only if prediction and
golden answer are the same text but for case and outer spaces, and never if both are empty.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CLOSED_ANSWERS = frozenset({"yes", "no", "noanswer"})


def normalise(text: str) -> str:
    """Lower-case ``text`` without ASCII punctuation, English articles and repeated spaces."""
    bare = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """Return 1.0 if the prediction equals a golden answer, else 0.0."""
    return _best(_equal, prediction, golds)


def token_f1(prediction: str, golds: Sequence[str]) -> float:
    """F1 over the bags of tokens, best golden answer.

    "yes", "no" and "noanswer" earn nothing for a partial overlap (HotpotQA's rule).
    """
    return _best(_overlap, prediction, golds)


def contains(prediction: str, golds: Sequence[str]) -> float:
    """Return 1.0 if the prediction has a golden answer as a substring, else 0.0."""
    return _best(_within, prediction, golds)


def _best(measure: Callable[[str, str], float], prediction: str, golds: Sequence[str]) -> float:
    if isinstance(golds, str):
        golds = (golds,)
    found = normalise(prediction)
    scores = (
        measure(found, wanted) if (wanted := normalise(gold)) else _same_text(prediction, gold)
        for gold in golds
    )
    return max(scores, default=0.0)


def _same_text(prediction: str, gold: str) -> float:
    text = gold.strip().lower()
    return float(text != "" and text == prediction.strip().lower())


def _equal(found: str, wanted: str) -> float:
    return float(found == wanted)


def _within(found: str, wanted: str) -> float:
    return float(wanted in found)


def _overlap(found: str, wanted: str) -> float:
    if found != wanted and not _CLOSED_ANSWERS.isdisjoint((found, wanted)):
        return 0.0
    found_tokens, wanted_tokens = found.split(), wanted.split()
    same = (Counter(found_tokens) & Counter(wanted_tokens)).total()
    return 2 * same / (len(found_tokens) + len(wanted_tokens))
