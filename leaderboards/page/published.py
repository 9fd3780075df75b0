"""Published figures of a page: a block of their own, which no row of ours stands in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leaderboards.board import Leaderboard
from leaderboards.published import ANY_TASK, figures
from leaderboards.published.block import CAPTION, HEADING, MISSING, Line, block


def published(board: Leaderboard) -> dict[str, Any] | None:
    """The figures on the board's tasks and of none in particular; None without any on its tasks."""
    tasks = {task for table in board.tables for task in table.tasks}
    found = block(figures(tasks))
    if not tasks & found.lines.keys():
        return None
    return {
        "heading": HEADING,
        "caption": CAPTION,
        "tasks": [
            {
                "name": "No task in particular" if task == ANY_TASK else task,
                "lines": list(_lines(lines)),
            }
            for task, lines in found.lines.items()
        ],
        "footnotes": found.footnotes,
    }


def _lines(lines: Iterable[Line]) -> Iterable[dict[str, Any]]:
    for line in lines:
        told = {
            "Method": line.first.method,
            "Reported by": line.first.reported_by,
            "EM": line.value("em"),
            "F1": line.value("f1"),
            "Contains": line.value("contains"),
            "Other": line.others,
            "Questions": line.asked,
            "Model": line.first.model or MISSING,
        }
        notes = [number for number in (line.source, line.detail) if number]
        yield {"cells": told, "notes": notes, "claim": line.first.kind == "claim"}
