"""Leaks: questions that are the same as others, found by their normalised text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256
from typing import Protocol, TypeVar

NORMAL_FORM = 1
"""Raised when ``normal_text`` changes, since hashes of its results are kept on disk."""
_OTHER = "\N{MIDDLE DOT}"
"""Stands for punctuation that is not ASCII."""
# White space and ASCII punctuation, but for signs that mean something: C# is not C, 10% is not 10.
_FOLDED = rf"""[ !"'(),\-.:;?\[\]_{{}}{_OTHER}]++"""
_BEFORE_OTHERS, _BEFORE_DIGITS = (re.compile(_FOLDED + ahead) for ahead in (r"(?!\d)", r"(?=\d)"))
# Else NFKC makes 102 of ten squared.
_EXPONENT = re.compile("(?<=\\d)(?=[\u00b2\u00b3\u00b9\u2070\u2074-\u2079])")


class _Plain(dict[int, str]):
    """For ``str.translate``: a space, a dash, a sign for other punctuation, nothing for format."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category[0] == "P" and not character.isascii():
            self[code] = "-" if category == "Pd" else _OTHER
        elif category == "Cf":
            self[code] = ""
        else:
            self[code] = " " if category == "Cc" or category[0] == "Z" else character
        return self[code]


_PLAIN = _Plain()


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
    plain = unicodedata.normalize("NFKC", _EXPONENT.sub("^", text)).casefold()
    plain = unicodedata.normalize("NFKC", plain)
    said = _BEFORE_OTHERS.sub("", plain.translate(_PLAIN))
    return _BEFORE_DIGITS.sub(_kept, said) or plain


def _kept(run: re.Match[str]) -> str:
    """What stays before a digit: 1.5 is not 15, and -5 is not 5."""
    before = run.string[max(run.start() - 1, 0) : run.start()]
    if before.isdecimal():
        return run[0].replace(" ", "") or " "
    is_sign = run[0][-1] == "-" and (len(run[0]) > 1 or not before)
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
