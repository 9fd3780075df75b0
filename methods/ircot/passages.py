"""The paragraphs that one question collects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from harness.records import Passage

LONGEST = 600
"""Paragraphs of more words are not collected."""
SHOWN = 350
"""Words of a paragraph that a prompt shows."""
DUPLICATE = 0.9
"""Title and text at least this similar: the same paragraph."""


def collect(collected: list[Passage], found: Iterable[Passage], most: int) -> list[str]:
    """Append what is new and not too long to ``collected``, up to ``most`` in all.

    Gives the ids of what is too long.
    """
    too_long = []
    for passage in found:
        if len(collected) >= most:
            break
        if len(passage.text.split()) > LONGEST:
            too_long.append(passage.id)
        elif not any(is_duplicate(passage, known) for known in collected):
            collected.append(passage)
    return too_long


def is_duplicate(one: Passage, other: Passage) -> bool:
    """The same id, or nearly the same title (by characters) and text (by words)."""
    return one.id == other.id or (
        _similar(one.title, other.title) and _similar(one.text.split(), other.text.split())
    )


def shown(passages: Iterable[Passage]) -> tuple[Passage, ...]:
    """The passages as prompts show them: cut to 350 words."""
    return tuple(
        p if len(words := p.text.split()) <= SHOWN else replace(p, text=" ".join(words[:SHOWN]))
        for p in passages
    )


def _similar(one: Sequence[str], other: Sequence[str]) -> bool:
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    # Upper bounds first: each costs far less than the next.
    return (
        matcher.real_quick_ratio() >= DUPLICATE
        and matcher.quick_ratio() >= DUPLICATE
        and matcher.ratio() >= DUPLICATE
    )
