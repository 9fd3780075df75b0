"""Leaks: questions that are the same as others, found by their normalised text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from itertools import groupby
from typing import Protocol, TypeVar

NORMAL_FORM = 1
"""Raised when ``normal_text`` changes, since hashes of its results are kept on disk."""
_SYMBOLS = frozenset("#%&*/@\\")
"""Punctuation by its category that means something: C# is not C, 10% is not 10."""


class HasText(Protocol):
    """A question, whatever else is known of it."""

    @property
    def text(self) -> str:
        """What it asks."""


Asking = TypeVar("Asking", bound=HasText)


def normal_text(text: str) -> str:
    """A text without case, punctuation and white space, its characters in their plain form (NFKC).

    Symbols such as ``+`` and ``#`` stay, and so does what stands between two digits or makes a
    number negative. A text of nothing else than what is folded keeps it.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    visible = (_plain_dash(c) for c in plain if unicodedata.category(c) != "Cf")
    runs = [(says, "".join(part)) for says, part in groupby(visible, _says_something)]
    texts = ["", *(run for _, run in runs), ""]
    folded = "".join(
        run if says else _between(before[-1:], run, after[:1])
        for (says, run), before, after in zip(runs, texts, texts[2:], strict=False)
    )
    return folded or plain


def _plain_dash(character: str) -> str:
    return "-" if unicodedata.category(character) == "Pd" else character


def _says_something(character: str) -> bool:
    category = unicodedata.category(character)
    return character in _SYMBOLS or not (category == "Cc" or category[0] in "PZ")


def _between(before: str, run: str, after: str) -> str:
    """What stays of punctuation and white space: 1.5 is not 15, and -5 is not 5."""
    if before.isdecimal() and after.isdecimal():
        return "".join(run.split()) or " "
    is_sign = after.isdecimal() and run[-1] == "-" and (len(run) > 1 or not before)
    return "-" if is_sign else ""


def question_hash(text: str) -> str:
    """The first 16 hex digits of the SHA-256 of a question's normalised text."""
    return sha256(normal_text(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def part_asked(
    shown: Iterable[Asking], asked: Iterable[HasText]
) -> tuple[tuple[Asking, ...], tuple[Asking, ...]]:
    """Questions that may be shown, and those that are also asked, under whatever id."""
    texts = {normal_text(question.text) for question in asked}
    kept: list[Asking] = []
    leaked: list[Asking] = []
    for question in shown:
        (leaked if normal_text(question.text) in texts else kept).append(question)
    return tuple(kept), tuple(leaked)


def repeated(questions: Iterable[Asking]) -> tuple[Asking, ...]:
    """Questions whose text an earlier one has."""
    seen: set[str] = set()
    again = []
    for question in questions:
        text = normal_text(question.text)
        if text in seen:
            again.append(question)
        seen.add(text)
    return tuple(again)
