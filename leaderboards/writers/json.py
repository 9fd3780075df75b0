"""JSON: everything, with raw numbers (scores from 0 to 1), intervals and p-values."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from harness.errors import ConfigError
from leaderboards.published.block import records
from leaderboards.rounding import plain
from leaderboards.view import ALL, View

FORMAT_VERSION = 1
_NOT_ASCII = re.compile(r"[^ -~\n]")
_LATER = ("external", "floors", "judge", "own")
_NOT_TOLD = ("cautions", "folders")


def to_json(view: View) -> bytes:
    """Write the board for programs. Raises ConfigError for a choice of columns."""
    if view.columns not in ((), ALL):
        raise ConfigError("--columns: JSON holds everything; choose columns of another format")
    content = {"format_version": FORMAT_VERSION} | plain(asdict(view.board, dict_factory=_told))
    published = {"published": list(records(view.published))} if view.published else {}
    return to_bytes(content | published)


def to_bytes(content: Any) -> bytes:
    """JSON in UTF-8 whose text can steer no terminal: what is not printable is escaped."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return (_NOT_ASCII.sub(_escaped, text) + "\n").encode()


def _escaped(found: re.Match[str]) -> str:
    char = found.group()
    return char if char.isprintable() else json.dumps(char)[1:-1]


def _told(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of a record; the later ones only where there is something, as in earlier files.

    Cautions stand in the caption, and where runs lie tells of the machine.
    """
    return {
        name: value
        for name, value in fields
        if name not in _NOT_TOLD and (value or name not in _LATER)
    }
