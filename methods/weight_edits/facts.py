"""Facts that a changed document says anew: what is to be said, and the texts that it is to follow.

They are found by rule in the old and the new text alone; nobody says which questions will be asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from harness.records import Passage
from harness.sentences import split_sentences
from methods.study.questions import questions_of, spans_of

_WORD = re.compile(r"\w+|[^\w\s]")
_IN_BRACKETS = re.compile(r"\s*\([^()]*\)")
_MANY = 1000
"""More questions than a passage has."""


@dataclass(frozen=True, slots=True)
class Cue:
    """A text that a fact's target is to follow; ``subject`` is the part of it that it is about."""

    text: str
    subject: str
    asks: bool
    """Whether it is a question, and not the beginning of a sentence."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What a document says now, as the text ``target``, and how it is asked for, one cue or more.

    The first cue is the one whose subject the fact is about.
    """

    document: str
    target: str
    cues: tuple[Cue, ...]


def facts_of(old: Passage, new: Passage, most: int, seed: int) -> list[Fact]:
    """What the new text of a document says and the old one does not, in the text's order.

    A name, date or number that changed in any part is one fact, wherever it stands; any other
    change is what changed. Questions come first, then what stands before it in its sentences, at
    most ``most`` cues. What has no subject before it makes no fact.
    """
    title = _IN_BRACKETS.sub("", new.title) if new.title == old.title else ""
    said: dict[str, list[Cue]] = {}
    for target, before in _changed(old.text, new.text):
        said.setdefault(target, []).extend(_statement(title, before))
    asked: dict[str, list[Cue]] = {target: [] for target in said}
    for each in questions_of(new, _MANY, seed):
        if each.answer in asked:
            asked[each.answer] += _cue(title, each.question, asks=True)
    facts = []
    for target in said:
        # In turns, so that few cues are of both kinds.
        cues = _in_turns(asked[target], said[target])[:most]
        if cues:
            facts.append(Fact(new.id, target, tuple(cues)))
    return facts


def _changed(old: str, new: str) -> Iterator[tuple[str, str]]:
    """What is new in a text, with what stands before it in its sentence."""
    words = list(_WORD.finditer(new))
    both = [_WORD.findall(old), [word.group() for word in words]]
    matcher = SequenceMatcher(None, both[0], both[1], autojunk=False)
    places = [
        (words[first].start(), words[last - 1].end())
        for kind, _, _, first, last in matcher.get_opcodes()
        if kind in ("replace", "insert")
    ]
    end = 0
    for sentence in split_sentences(new):
        start = new.index(sentence, end)
        end = start + len(sentence)
        own = [(max(a, start) - start, min(b, end) - start) for a, b in places]
        yield from _targets(sentence, [(a, b) for a, b in own if a < b])


def _targets(sentence: str, places: list[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    spans = [(span.start, span.end) for span in spans_of(sentence)]
    found = set()
    for place in places:
        named = [span for span in spans if _overlap(span, place)]
        found.update(named or [place])
    for start, end in sorted(found):
        target = sentence[start:end].strip(" .,;:!?\"'()")
        if target:
            yield target, sentence[:start].rstrip(" \"'(")


def _statement(title: str, before: str) -> list[Cue]:
    """The beginning of a sentence, after the title where it names no subject by itself."""
    found = _cue(title, before, asks=False) if before else []
    if not title or (found and found[0].subject.lower() == title.lower()):
        return found
    return [Cue(f"{title}: {before}".rstrip(), title, asks=False)] if before else found


def _cue(title: str, text: str, *, asks: bool) -> list[Cue]:
    """The text with its subject: the title, or the first that is named; none without either."""
    place = text.lower().rfind(title.lower()) if title else -1
    if place >= 0:
        return [Cue(text, text[place : place + len(title)], asks)]
    names = [text[span.start : span.end] for span in spans_of(text) if span.kind == "name"]
    return [Cue(text, names[0], asks)] if names else []


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _in_turns(one: list[Cue], other: list[Cue]) -> list[Cue]:
    longest = max(len(one), len(other))
    both = [cues[n] for n in range(longest) for cues in (one, other) if n < len(cues)]
    return list(dict.fromkeys(both))
