"""JSON: everything, with raw numbers (scores from 0 to 1), intervals and p-values."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from leaderboards.rounding import plain
from leaderboards.view import View

FORMAT_VERSION = 1


def to_json(view: View) -> bytes:
    """Write the board for programs."""
    content = {"format_version": FORMAT_VERSION} | plain(asdict(view.board, dict_factory=_told))
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _told(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of a record; ``external`` only where a row is, as files of earlier releases."""
    return {name: value for name, value in fields if (name, value) != ("external", "")}
