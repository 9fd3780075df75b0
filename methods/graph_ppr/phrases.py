"""Phrases by rule: the names, numbers and dates of a text, in the form in which they are equal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

LONGEST = 8
"""Words of a phrase; longer runs of capitals are headings."""

_WORD = re.compile(r"[^\W_]+(?:(?:['\u2019](?!s\b)|[.-])[^\W_]+)*")
_SMALL = """
of the de la le du des del della di da von van der den und et y al el bin ibn
"""
_JOINS = frozenset(_SMALL.split())
"""Words without a capital inside of a name: *Bank of the West*, *Ludwig van Beethoven*."""
_FREQUENT = """
a an the this that these those it its he his him she her hers they their them we our us i my me you
your who whom whose which what when where why how in on at by for from to of with as and or but nor
so if then than also both after before during while since until although though because however
there here is was are were be been has have had did does do will would can could may might must
shall should not no yes one two three all some many most several each other another such first
second third later early according following despite through under over between among about against
into within without like name list
"""
_COMMON = frozenset(_FREQUENT.split())
"""Words that are no names where a sentence begins, nor alone."""


def normal(text: str) -> str:
    """Lower case without accents and signs, single blanks: equal phrases have equal texts."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c if c.isalnum() else " " for c in plain if not unicodedata.combining(c))
    return " ".join(letters.split())


def phrases_of(title: str, text: str) -> list[str]:
    """The title, also without what stands in brackets, and the names and numbers of the text.

    Normal forms, each once, in the order of the text.
    """
    found = [title, re.sub(r"\s*\([^)]*\)\s*$", "", title), *names_in(text)]
    return list(dict.fromkeys(filter(None, map(normal, found))))


def names_in(text: str) -> Iterator[str]:
    """Runs of words with a capital, joined by small words of names; numbers with a digit."""
    run: list[re.Match[str]] = []
    for word in _WORD.finditer(text):
        if run and not _goes_on(text, run[-1], word):
            yield from _names(run)
            run = []
        if _is_name(word[0]) or (run and word[0] in _JOINS):
            run.append(word)
        elif run:
            yield from _names(run)
            run = []
    yield from _names(run)


def known_phrases(text: str, known: Mapping[str, int]) -> list[str]:
    """Known phrases that stand in a question, the longest at every place, from left to right.

    One counts if a word of it has a capital or a digit, or if none of the question's but the first
    has one: then nobody took care of capitals.
    """
    words = [word[0] for word in _WORD.finditer(text)]
    capitals = any(map(_is_name, words[1:]))
    found: list[str] = []
    start = 0
    while start < len(words):
        for end in range(min(start + LONGEST, len(words)), start, -1):
            phrase = normal(" ".join(words[start:end]))
            if phrase in known and _is_named(words, start, end, capitals):
                found.append(phrase)
                break
        else:
            end = start + 1
        start = end
    return list(dict.fromkeys(found))


def _goes_on(text: str, last: re.Match[str], word: re.Match[str]) -> bool:
    between = text[last.end() : word.start()]
    is_initial = between == ". " and len(last[0]) < 3
    return between.isspace() or between == " & " or is_initial


def _names(run: list[re.Match[str]]) -> Iterator[str]:
    words = [word[0] for word in run]
    while words and (words[0] in _JOINS or words[0].lower() in _COMMON):
        del words[0]
    while words and words[-1] in _JOINS:
        del words[-1]
    if words and len(words) <= LONGEST:
        yield " ".join(words)


def _is_name(word: str) -> bool:
    return word[0].isupper() or any(map(str.isdigit, word))


def _is_named(words: list[str], start: int, end: int, capitals: bool) -> bool:
    if end - start == 1 and words[start].lower() in _COMMON:
        return start > 0 and _is_name(words[start])  # the month of May
    return not capitals or any(map(_is_name, words[start:end]))
