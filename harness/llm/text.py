"""Small text rules that every backend shares."""

from __future__ import annotations

from collections.abc import Sequence


def cut_at_stop(text: str, stops: Sequence[str]) -> str:
    """``text`` before the earliest of the stop strings; empty stop strings are ignored."""
    return text[: min((at for s in stops if s and (at := text.find(s)) >= 0), default=len(text))]
