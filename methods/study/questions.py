"""Questions made of a passage by rule: words of a sentence, with one of its names, dates or
numbers asked for.

The idea is cloze translation by rule (Lewis, Denoyer and Riedel, Unsupervised Question Answering by
Cloze Translation, ACL 2019): a question word in the place of the answer, or before the words
around it. A question is as short as those that people ask: some of the words nearest to its
answer, drawn anew each time. English; other languages get what their capitals and digits give.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.records import Passage
from harness.sentences import split_sentences

Kind = Literal["name", "date", "number"]

_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DATE = re.compile(
    rf"\b(?:\d{{1,2}} {_MONTH}(?: \d{{4}})?|{_MONTH} \d{{1,2}}(?:, \d{{4}})?|{_MONTH} \d{{4}}|"
    r"(?:1\d|20)\d\d)\b"
)
_NUMBER = re.compile(r"(?<![\w.,$£€–-])[$£€]?\d(?:[\d,.]*\d)?%?(?![\w–-])")  # noqa: RUF001
_WORD = r"[A-ZÀ-ÖØ-Þ][\w'’-]*\.?(?=[\s,;:.)]|$)"  # noqa: RUF001
_NAME = re.compile(rf"{_WORD}(?:(?: (?:of|the|de|von|van|and|for|in))* {_WORD})*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OPENING = _words(
    "A An The In On At By For From To With As After Before When While If Since It Its He She They "
    "We You His Her Their This That These Those There And But Or Also However During Although "
    "Because What Which Who Where Most Many Some All One Two Both Each Other Another Such"
)
"""Words that a sentence begins with, capitals and all, and that name nothing."""
_FORMS = 12
"""Questions for one name, date or number, at most."""
_LENGTHS = (5, 12)
"""Words around the answer that a question has."""
_IN_PLACE, _TITLED = 0.4, 0.5
"""Shares of questions with the question word in the answer's place, and with the title."""
_PRONOUN = re.compile(r"^(?:It|He|She|They|This|These)\b")
_IN_TEXTS_ALONE = re.compile(r"[()\[\]\"“”;:]")
_IN_BRACKETS = re.compile(r"\s*\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Span:
    """Where in a sentence something is named that can be asked for."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer, a piece of the passage."""

    question: str
    answer: str


def questions_of(passage: Passage, most: int, seed: int = 0) -> list[Asked]:
    """At most ``most`` questions of a passage, no two alike, in an order fixed by the seed.

    Each name, date or number is asked for before any is asked for in other words.
    """
    source = random.Random(f"{seed} questions {passage.id}")  # noqa: S311
    sentences = split_sentences(passage.text)
    found = [asked for each in sentences for asked in _of_title(passage.title, each)]
    places = [(each, span) for each in sentences for span in spans_of(each)]
    for _ in range(_FORMS):
        asked = [_asked(passage.title, *place, source) for place in places]
        source.shuffle(asked)
        found += asked
    return list(dict.fromkeys(found))[:most]


def spans_of(sentence: str) -> list[Span]:
    """Dates, numbers and names of a sentence, in order; none overlap."""
    found: list[Span] = []
    kinds: list[tuple[Kind, re.Pattern[str]]] = [
        ("date", _DATE), ("number", _NUMBER), ("name", _NAME)
    ]  # fmt: skip
    for kind, pattern in kinds:
        for match in pattern.finditer(sentence):
            span = _trimmed(sentence, Span(*match.span(), kind))
            if span.start < span.end and not any(_overlap(span, other) for other in found):
                found.append(span)
    return sorted(found, key=lambda span: span.start)


def _trimmed(sentence: str, span: Span) -> Span:
    """A name without the words that only open a sentence, and without a full stop at its end."""
    if span.kind != "name":
        return span
    start, words = span.start, sentence[span.start : span.end].split(" ")
    while words and words[0] in _OPENING:
        start += len(words.pop(0)) + 1
    while words and words[0].islower():
        start += len(words.pop(0)) + 1
    end = start + len(" ".join(words))
    # "J. K. Rowling" keeps its full stops, the last word of a sentence does not.
    is_stop = end > start and sentence[end - 1] == "." and end - start > 2
    return Span(min(start, end), end - is_stop, "name")


def _overlap(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end


def _asked(title: str, sentence: str, span: Span, source: random.Random) -> Asked:
    """A question of the words around a span, in the sentence's order or with its word first."""
    answer = sentence[span.start : span.end]
    before, after = sentence[: span.start], sentence[span.end :].rstrip(" .!?")
    word = _question_word(before, answer, span.kind)
    left, right = _near(before.split(), after.split(), source)
    words = [*left, word, *right] if source.random() < _IN_PLACE else [word, *left, *right]
    if title and title != answer and title.lower() not in " ".join(words).lower():
        words += [title] if source.random() < _TITLED else []
    return Asked(_tidy(" ".join(words)).lower() + source.choice(["", "?"]), answer)


def _near(
    before: list[str], after: list[str], source: random.Random
) -> tuple[list[str], list[str]]:
    """Some of the words that stand on both sides, the nearest ones, so many in all."""
    total = source.randint(*_LENGTHS)
    left = min(len(before), max(source.randint(0, total), total - len(after)))
    return before[len(before) - left :], after[: total - left]


def _of_title(title: str, sentence: str) -> Iterator[Asked]:
    """What a passage is about, asked by a sentence that begins with it or with a pronoun."""
    answer = _IN_BRACKETS.sub("", title)
    begins = _PRONOUN.match(sentence)
    if begins is None and answer and sentence.startswith(f"{answer} "):
        begins = re.match(re.escape(answer), sentence)
    if answer and begins is not None:
        word = "who" if sentence.startswith(("He ", "She ")) else "what"
        yield Asked(_tidy(f"{word}{sentence[begins.end() :].rstrip(' .!?')}").lower(), answer)


def _question_word(before: str, answer: str, kind: Kind) -> str:
    last = before.split()[-1].lower() if before.split() else ""
    if kind == "date":
        return "what year" if answer.isdigit() else "when"
    if kind == "number":
        return "how many" if answer.replace(",", "").isdigit() else "how much"
    if last in ("in", "at", "near", "from", "to"):
        return "where"
    return "who" if last == "by" or len(answer.split()) in (2, 3) else "what"


def _tidy(text: str) -> str:
    """One space between words, no brackets and quotes, no comma where something was left out."""
    text = re.sub(r"\s+,", ",", " ".join(_IN_TEXTS_ALONE.sub(" ", text).split()))
    return re.sub(r",+(?=,|$)", "", text).strip(" ,.")


def permuted(passages: Sequence[Passage], seed: int) -> list[Passage]:
    """The same texts with their facts permuted: each name, date and number of another passage.

    Within its kind what one passage names stands where another passage names something; titles go
    the same way. Nothing else changes, so the texts are as long and as well written, and say what
    is not so.
    """
    source = random.Random(f"{seed} permuted")  # noqa: S311
    named = [(p, s, spans_of(s)) for p in passages for s in split_sentences(p.text)]
    texts: dict[Kind, list[str]] = {"name": [], "date": [], "number": []}
    for _, sentence, spans in named:
        for span in spans:
            texts[span.kind].append(sentence[span.start : span.end])
    for kind, words in texts.items():
        # Turned by about a half, what stood in one passage comes to stand in another.
        middle = len(words) // 2 + (source.randrange(len(words) // 4 + 1) if words else 0)
        texts[kind] = words[middle:] + words[:middle]
    queues = {kind: iter(words) for kind, words in texts.items()}
    told: dict[str, list[str]] = {p.id: [] for p in passages}
    for passage, sentence, spans in named:
        told[passage.id].append(_filled(sentence, spans, [next(queues[s.kind]) for s in spans]))
    titles = [p.title for p in passages]
    turned = titles[len(titles) // 2 :] + titles[: len(titles) // 2]
    return [
        Passage(p.id, title, " ".join(told[p.id]) or p.text)
        for p, title in zip(passages, turned, strict=True)
    ]


def _filled(sentence: str, spans: Sequence[Span], words: Sequence[str]) -> str:
    parts, end = [], 0
    for span, word in zip(spans, words, strict=True):
        parts += [sentence[end : span.start], word]
        end = span.end
    return "".join([*parts, sentence[end:]])
