"""Questions made of a passage by rule: what a sentence says, with one of its names, dates or
numbers asked for.

The idea is cloze translation by rule (Lewis, Denoyer and Riedel, Unsupervised Question Answering by
Cloze Translation, ACL 2019): a question word in the place of the answer, or before what is left of
the sentence. English; other languages get what their capitals and digits give.
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
_PRONOUN = re.compile(r"^(?:It|He|She|They|This|These)\b")
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

    Each names, date or number is asked for before any is asked for in other words.
    """
    source = random.Random(f"{seed} questions {passage.id}")  # noqa: S311
    rounds: list[list[Asked]] = [[], [], []]
    for sentence in split_sentences(passage.text):
        rounds[0] += _of_title(passage.title, sentence)
        for span in spans_of(sentence):
            forms = list(_forms(passage.title, sentence, span))
            source.shuffle(forms)
            for place, asked in enumerate(forms):
                rounds[place].append(asked)
    for each in rounds:
        source.shuffle(each)
    return list(dict.fromkeys(asked for each in rounds for asked in each))[:most]


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


def _forms(title: str, sentence: str, span: Span) -> Iterator[Asked]:
    """The question in three forms: in the sentence's place, first, and first of its clause."""
    answer = sentence[span.start : span.end]
    before, after = sentence[: span.start], sentence[span.end :].rstrip(" .!?")
    word = _question_word(before, answer, span.kind)
    about = "" if not title or title.lower() in (before + after).lower() else title
    before = _PRONOUN.sub(about, before) if about and _PRONOUN.match(before) else before
    if about and before.startswith(about):
        about = ""
    tail = f", {about}" if about and about != answer else ""
    yield Asked(_tidy(f"{before}{word}{after}{tail}?"), answer)
    yield Asked(_tidy(f"{word} {_lower(before)}{after}{tail}").lower(), answer)
    left, right = before.rpartition(", ")[2], after.partition(", ")[0]
    clause = f"{left}{right}" if len((left + right).split()) > 3 else f"{before}{after}"
    yield Asked(_tidy(f"{word} {_lower(clause)}{tail}").lower(), answer)


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


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _tidy(text: str) -> str:
    """One space between words, none before a comma, no comma where something was left out."""
    text = re.sub(r"\s+([,;:?])", r"\1", " ".join(text.split()))
    return re.sub(r"[,;:]+(?=[,;:?]|$)", "", text)


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
