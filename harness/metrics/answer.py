"""Answer metrics: one prediction against its golden answers, each in [0, 1].

Texts are compared after a normalisation, SQuAD's (Rajpurkar et al., 2016) unless a metric's name
tells another, and the best golden answer counts. ``em``, ``contains`` and, with
``closed_answers``, ``f1`` are FlashRAG's ``em``, ``acc`` and ``f1`` but for one rule: a golden
answer of which normalisation leaves nothing ("The", "!", "A") is right only if prediction and
golden answer are the same text but for case and outer spaces, and never if both are empty.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from harness.metrics.letters import folded

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
# TriviaQA's script also takes typographic and free-standing quotes and accents for punctuation.
_SPACED_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))  # noqa: RUF001
_CLOSED_ANSWERS = frozenset({"yes", "no", "noanswer"})

Normalise = Callable[[str], str]


class Overlap(NamedTuple):
    """Shares of common tokens: of the prediction's (precision), of the golden answer's (recall)."""

    precision: float
    recall: float


def normalise(text: str) -> str:
    """Lower-case ``text`` without ASCII punctuation, English articles and repeated spaces."""
    return _without_articles(text.lower().translate(_NO_PUNCTUATION))


def normalise_triviaqa(text: str) -> str:
    """As TriviaQA's script: what is punctuation becomes a space instead of nothing."""
    return _without_articles(text.lower().translate(_SPACED_PUNCTUATION))


def normalise_folded(text: str) -> str:
    """``normalise`` of letters in one form, without their accents."""
    return normalise(folded(text))


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """Return 1.0 if the prediction equals a golden answer, else 0.0."""
    return _best(_equal, prediction, golds)


def token_f1(prediction: str, golds: Sequence[str], *, closed_answers: bool = False) -> float:
    """F1 over the bags of tokens, best golden answer.

    With ``closed_answers``, "yes", "no" and "noanswer" earn nothing for a partial overlap, as in
    HotpotQA's script, whose F1 this then is.
    """
    return _best(_closed_f1 if closed_answers else _f1, prediction, golds)


def contains(prediction: str, golds: Sequence[str]) -> float:
    """Return 1.0 if the prediction has a golden answer as a substring, else 0.0.

    The published convention: "art" is in "party". ``contains_words`` asks for whole words.
    """
    return _best(_within, prediction, golds)


def contains_words(prediction: str, golds: Sequence[str]) -> float:
    """Return 1.0 if the words of a golden answer follow each other in the prediction, else 0.0."""
    return _best(_within_words, prediction, golds)


def exact_match_folded(prediction: str, golds: Sequence[str]) -> float:
    """``exact_match`` for which "Beyonce" equals "Beyoncé", however its accent is encoded."""
    return _best(_equal, prediction, golds, normalise_folded)


def exact_match_triviaqa(prediction: str, golds: Sequence[str]) -> float:
    """``exact_match`` after TriviaQA's normalisation (Joshi et al., 2017)."""
    return _best(_equal, prediction, golds, normalise_triviaqa)


def token_f1_triviaqa(prediction: str, golds: Sequence[str]) -> float:
    """F1 over the bags of tokens after TriviaQA's normalisation (Joshi et al., 2017)."""
    return _best(_f1, prediction, golds, normalise_triviaqa)


def overlaps(
    prediction: str, golds: Sequence[str], *, closed_answers: bool = False
) -> Iterator[Overlap]:
    """The token overlap with each golden answer, which scores of answer and support multiply."""
    found = normalise(prediction)
    for gold in golds:
        wanted = normalise(gold)
        if not wanted:
            share = _same_text(prediction, gold)
            yield Overlap(share, share)
        elif closed_answers and _is_closed(found, wanted):
            yield Overlap(0.0, 0.0)
        else:
            same, tokens, wanted_tokens = _common(found, wanted)
            yield Overlap(same / max(tokens, 1), same / wanted_tokens)


def _best(
    measure: Callable[[str, str], float],
    prediction: str,
    golds: Sequence[str],
    form: Normalise = normalise,
) -> float:
    if isinstance(golds, str):
        golds = (golds,)
    found = form(prediction)
    scores = (
        measure(found, wanted) if (wanted := form(gold)) else _same_text(prediction, gold)
        for gold in golds
    )
    return max(scores, default=0.0)


def _without_articles(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text).split())


def _same_text(prediction: str, gold: str) -> float:
    text = gold.strip().lower()
    return float(text != "" and text == prediction.strip().lower())


def _equal(found: str, wanted: str) -> float:
    return float(found == wanted)


def _within(found: str, wanted: str) -> float:
    return float(wanted in found)


def _within_words(found: str, wanted: str) -> float:
    return float(f" {wanted} " in f" {found} ")


def _is_closed(found: str, wanted: str) -> bool:
    """Whether two different answers hold a closed one."""
    return found != wanted and not _CLOSED_ANSWERS.isdisjoint((found, wanted))


def _closed_f1(found: str, wanted: str) -> float:
    return 0.0 if _is_closed(found, wanted) else _f1(found, wanted)


def _f1(found: str, wanted: str) -> float:
    same, tokens, wanted_tokens = _common(found, wanted)
    return 2 * same / (tokens + wanted_tokens)


def _common(found: str, wanted: str) -> tuple[int, int, int]:
    """Tokens in common, tokens found and tokens wanted, repetitions counted."""
    tokens, wanted_tokens = found.split(), wanted.split()
    same = (Counter(tokens) & Counter(wanted_tokens)).total()
    return same, len(tokens), len(wanted_tokens)
