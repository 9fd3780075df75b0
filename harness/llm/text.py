"""Small text rules that every backend shares."""

from __future__ import annotations

from collections.abc import Sequence

from harness.sentences import split_lines


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """``text`` before the earliest of the stop strings; empty stop strings are ignored."""
    return text[: min((at for s in stops if s and (at := text.find(s)) >= 0), default=len(text))]


def first_stop(text: str, stops: Sequence[str]) -> str:
    """The stop string that stands earliest in ``text``, the longest of those; empty if none."""
    found = [(at, -len(stop), stop) for stop in stops if stop and (at := text.find(stop)) >= 0]
    return min(found)[2] if found else ""


def first_line(text: str) -> str:
    """The first line that is not empty, stripped; empty if there is none."""
    return next((line.strip() for line in split_lines(text) if line.strip()), "")


def first_line_ended(text: str) -> bool:
    """Whether a line that is not empty is complete."""
    return "\n" in text.lstrip()


def cut_after_line(text: str) -> str:
    """``text`` up to the end of its first line that is not empty."""
    start = len(text) - len(text.lstrip())
    end = text.find("\n", start)
    return text if end < 0 else text[:end]


def common_beginning(texts: Sequence[str]) -> str:
    """What all texts begin with."""
    # In dictionary order the first and the last differ at least as early as any other two.
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((place for place, (x, y) in pairs if x != y), len(first))]
