"""Kinds of things that have names, and what a plug-in calls its table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

Kind = Literal[
    "methods", "tasks", "boards", "commands", "preparations", "models", "encoders", "retrievers",
    "metrics", "formats", "frames",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
PATHS: tuple[Kind, ...] = ("tasks", "boards")
"""Kinds whose names stand for folders and files; all others stand for Python objects."""

Table = Mapping[str, Any]
"""Names, and what each stands for: an object, or where it is loaded from when first used."""


def one(kind: Kind) -> str:
    """A kind in the singular, for messages."""
    return kind.removesuffix("s")
