"""Packed data: what a page holds, as JSON, as escaped JSON in markup and as gzip in base64."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

CUT, ALL = "cut", "of"
"""Keys of a text that is shown in part: what is shown, and how many letters it has in all."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """The most letters of a text that stand in a page; the rest is in the run's own files."""

    passage: int
    prompt: int
    text: int
    """Answers, replies and whatever else a method noted."""


LENGTHS = (
    Lengths(passage=4000, prompt=12_000, text=12_000),
    Lengths(passage=1000, prompt=2000, text=2000),
    Lengths(passage=600, prompt=600, text=1000),
    Lengths(passage=300, prompt=300, text=600),
    Lengths(passage=160, prompt=0, text=300),
)
"""Tried in turn until a page is small enough."""
LONGEST_LIST = 100


def to_json(value: Any) -> str:
    """Compact JSON in ASCII, so that lone surrogates and line separators are spelt out."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def in_markup(value: Any) -> str:
    """JSON that may stand in a ``script`` element: it holds no ``<``, ``>`` or ``&``."""
    text = to_json(value)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def packed(value: Any) -> str:
    """JSON as gzip in base64. The same value gives the same text."""
    return b64encode(gzip.compress(to_json(value).encode(), 6, mtime=0)).decode()


def shortened(text: str, most: int, *, middle: bool = False) -> str | dict[str, Any]:
    """The text, or its beginning and length; ``middle`` keeps the end of it as well."""
    if len(text) <= most:
        return text
    end = most // 2 if middle else 0
    gap = "\n\u2026\n" if end else ""
    return {CUT: text[: most - end] + gap + text[len(text) - end :], ALL: len(text)}


def noted(value: Any, lengths: Lengths, key: str = "") -> Any:
    """What a method noted in its trace, with no text or list longer than a page can hold."""
    if isinstance(value, str):
        is_prompt = key == "prompt"
        return shortened(value, lengths.prompt if is_prompt else lengths.text, middle=is_prompt)
    if isinstance(value, list):
        rest = len(value) - LONGEST_LIST
        kept = [noted(each, lengths) for each in value[:LONGEST_LIST]]
        return [*kept, f"\u2026 and {rest:,} more"] if rest > 0 else kept
    if isinstance(value, dict):
        return {name: noted(each, lengths, name) for name, each in value.items()}
    return value
