"""Lines and sentences, and where they end. Pure functions of text; sentences are English."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TITLES = _words(
    "mr mrs ms dr prof mt ft gen col capt cmdr lt sgt maj adm rev fr hon gov sen rep pres "
    "messrs mme mlle vs v e.g i.e cf viz approx est b d r"
)
"""Never the last word of a sentence."""
_NUMBERED = _words("no nos vol fig figs p pp c ca ch sec art op ed nr")
"""Not the last word where a number follows: "No. 5", but also "No. It is not."."""
_SHORTENED = _words(
    "st jr sr inc co corp ltd bros etc al jan feb mar apr jun jul aug sep sept oct nov dec "
    "ave blvd rd a.m p.m ph.d m.d b.a m.a b.c a.d"
)
"""The last word only where the next one opens a sentence, as for initials and acronyms."""
_OPENERS = _words(
    "the a an it its he she they we you his her their this that these those there in on at by for "
    "from with as after before when while if since so thus therefore hence however but and both "
    "also although because during who what which where according"
)
_END = re.compile(r"(?:[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s))|[\u3002\uff01\uff1f]+")
_LAST_WORD = re.compile(r"[^\s(\[\"'\u201c\u2018]*$")
_ACRONYM = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_NEXT = re.compile(r"\s*[\"'\u201c\u2018(\[]*(?!\w\.)(\w*)")
"""The next word, unless it is an initial."""


def split_lines(text: str) -> list[str]:
    """The lines of a text without their ends: a line feed, alone or after a carriage return.

    Nothing else ends one: ``str.splitlines`` also breaks at form feeds, U+0085, U+2028 and others,
    which stand inside titles and answers.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, stripped, in order; line breaks end a sentence.

    Abbreviations ("Dr.", "St.", "No. 5"), initials ("J. K. Rowling"), acronyms ("U.S."), decimals,
    list numbers and ellipses inside a sentence do not end it.
    """
    return [part for line in split_lines(text) for part in _of_line(line.strip())]


def sentence_ends(text: str) -> list[int]:
    """Where in a text each of its sentences ends: ``text[:end]`` holds the sentences up to it."""
    ends, end = [], 0
    for sentence in split_sentences(text):
        end = text.index(sentence, end) + len(sentence)
        ends.append(end)
    return ends


def _of_line(line: str) -> list[str]:
    found, start = [], 0
    for end in _END.finditer(line):
        if _is_boundary(line, start, end):
            found.append(line[start : end.end()].strip())
            start = end.end()
    found.append(line[start:].strip())
    return [sentence for sentence in found if sentence]


def _is_boundary(line: str, start: int, end: re.Match[str]) -> bool:
    mark = end.group()
    if mark[0] in "\u3002\uff01\uff1f":
        return True
    following = _NEXT.match(line, end.end())
    upcoming = following.group(1) if following else ""
    if upcoming[:1].islower():
        return False
    if mark[0] != "." or mark.startswith(".."):
        return True
    before = line[start : end.start()]
    if before.strip().isdigit():  # the number of a list item
        return False
    return _ends_sentence(before[-40:], upcoming)


def _ends_sentence(before: str, upcoming: str) -> bool:
    """Whether the full stop after ``before`` ends a sentence that ``upcoming`` would follow."""
    match = _LAST_WORD.search(before)
    word = match.group() if match else ""
    lower = word.lower()
    if lower in _TITLES and not (len(word) == 1 and word.isupper()):
        return False
    if lower in _NUMBERED and upcoming[:1].isdigit():
        return False
    if lower in _SHORTENED or _ACRONYM.fullmatch(word):
        return upcoming.lower() in _OPENERS
    return True
