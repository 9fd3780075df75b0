"""Kinds of things that have names, and what a plug-in calls its table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

Kind = Literal[
    "methods", "tasks", "boards", "commands", "preparations", "models", "encoders", "retrievers",
    "metrics", "formats", "frames", "results",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
PATHS: tuple[Kind, ...] = ("tasks", "boards", "results")
"""Kinds whose names stand for folders and files; all others stand for Python objects."""

CALLED: tuple[Kind, ...] = ("commands", "preparations", "metrics", "frames")
"""Kinds whose things are called as they are; those of others are looked at where they are used."""

Table = Mapping[str, Any]
"""Names, and what each stands for: an object, or where it is loaded from when first used."""


def one(kind: Kind) -> str:
    """A kind in the singular, for messages."""
    return kind.removesuffix("s")
