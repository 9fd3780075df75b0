"""Parts of a chain of thought that IRCoT reads out of it. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.sentences import split_sentences
from methods.ircot.prompts import REPLY_START

_ANSWER = re.compile(r"(?s:.*)\banswer is(?::\s*|\s+)(\S[^\n]*)", re.IGNORECASE)
_CONCLUSION = re.compile(r"\W*(?:thus|so|that is|therefore|hence)\b", re.IGNORECASE)
_ANNOUNCEMENT = re.compile(
    r"\W*(?:sure|okay|ok|certainly|of course|alright|let's|let us|let me|"
    r"i'll|(?-i:I (?:will|need to))|we (?:need|have) to|to answer|"
    r"here(?: is|'s| are) (?:the|a|an|my|some|what|how))\b",
    re.IGNORECASE,
)
_NUMBER = r"[$\u20ac\u00a3]?\d[\d,.]*"
_ARITHMETIC = re.compile(rf"{_NUMBER}\s*[-+*/\u00d7\u00f7\u2212]\s*{_NUMBER}\s*=\s*-?{_NUMBER}")
_QUESTION_WORDS = re.compile(r"\b(?:who|what|when|where|why|which|how|does|is)\b", re.IGNORECASE)
_MARKS = " \t\"'\u201c\u201d\u2018\u2019`*"


def parse_answer(text: str) -> str | None:
    """What follows the last "answer is" up to the end of its line; None without the marker.

    One trailing full stop and the quotes around the answer are removed.
    """
    found = _ANSWER.match(text)
    if found is None:
        return None
    rest = found.group(1).strip()
    if rest.endswith("."):
        return rest[:-1].strip(_MARKS) or None
    return rest.strip(_MARKS).removesuffix(".").strip(_MARKS) or None


def next_sentence(reply: str, thoughts: Sequence[str]) -> str:
    """The first sentence of a reply that is not among ``thoughts`` yet, "" without one.

    Chat models may begin with the sentences they were to go on from; a model that only repeats
    itself has nothing to add.
    """
    sentences = split_sentences(reply.strip().removeprefix(REPLY_START))
    return next((sentence for sentence in sentences if sentence not in thoughts), "")


def next_query(question: str, thoughts: Sequence[str]) -> str:
    """The last factual sentence of the chain, the question while there is none."""
    return next((thought for thought in reversed(thoughts) if is_factual(thought)), question)


def is_factual(sentence: str) -> bool:
    """Whether a sentence states a fact: no conclusion, arithmetic identity or announcement."""
    if sentence.rstrip(_MARKS).endswith(":") or _ANNOUNCEMENT.match(sentence):
        return False
    return _CONCLUSION.match(sentence) is None and _ARITHMETIC.search(sentence) is None


def without_question_words(text: str) -> str:
    """A query for a search engine of words; the text itself if nothing else is left."""
    return " ".join(_QUESTION_WORDS.sub(" ", text).split()) or text
