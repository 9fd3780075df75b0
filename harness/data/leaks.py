"""Leaks: questions that are the same as others, found by their normalised text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from typing import Protocol, TypeVar

NORMAL_FORM = 1
"""Raised when ``normal_text`` changes, since hashes of its results are kept on disk."""
_FOLDED = frozenset("PZC")
"""General categories that say nothing: punctuation, separators, control and format characters."""


class HasText(Protocol):
    """A question, whatever else is known of it."""

    @property
    def text(self) -> str:
        """What it asks."""


Asking = TypeVar("Asking", bound=HasText)


def normal_text(text: str) -> str:
    """A text without case, punctuation and white space, its characters in their plain form (NFKC).

    Symbols such as ``+`` stay. A text of nothing else than what is folded keeps it.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = "".join(c for c in plain if unicodedata.category(c)[0] not in _FOLDED)
    return folded or plain


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
