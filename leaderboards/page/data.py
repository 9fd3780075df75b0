"""The data of a page: tables, plots, curves, published figures and where everything is from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leaderboards.board import Leaderboard, Table
from leaderboards.columns import Column
from leaderboards.dealt import size_of
from leaderboards.floors import floors_line
from leaderboards.labels import numbered
from leaderboards.page.columns import about, cell, columns_of
from leaderboards.page.curves import learning, scaling
from leaderboards.page.provenance import provenance
from leaderboards.page.published import published
from leaderboards.rounding import plain
from leaderboards.rows import Row
from leaderboards.significance import power
from leaderboards.view import View


def named(board: Leaderboard) -> list[tuple[str, Table]]:
    """The tables of a board, each with a name of its own in the page."""
    return [(f"t{place}", table) for place, table in enumerate(board.tables)]


def of_tasks(board: Leaderboard) -> list[tuple[str, Table]]:
    """The tables of one task, with the same names."""
    return [(name, table) for name, table in named(board) if table.kind == "task"]


def page_data(view: View) -> dict[str, Any]:
    """All that a page shows at once; the questions come in packed parts (``questions``)."""
    board = view.board
    found: dict[str, Any] = plain({
        "title": "Leaderboard",
        "runs": view.runs.absolute().name,
        "tables": [_table(name, table, view) for name, table in named(board)],
        "columns": about(view),
        "labels": _labels(view),
        "notes": [_here(note, view.runs) for note in board.notes],
        "learning": learning(view.runs),
        "scaling": scaling(view.runs, board),
        "published": published(board),
        "provenance": provenance(of_tasks(board)),
    })  # fmt: skip
    return found


def _here(text: str, runs: Path) -> str:
    """The text with the folder of the runs by its own name: where it lies tells of the machine."""
    return text.replace(str(runs.absolute()), runs.absolute().name)


def _labels(view: View) -> list[dict[str, str]]:
    """Every row's label once, which gives it its look, and what plots and menus call it."""
    alike = Counter(name.short for name in view.names.values())
    names = numbered((k for k, name in view.names.items() if alike[name.short] > 1), view.names)
    return [
        {"label": label, "short": names[label].text if label in names else name.short}
        for label, name in sorted(view.names.items())
    ]


def _table(name: str, table: Table, view: View) -> dict[str, Any]:
    columns = columns_of(table.rows, table.k, view.known)
    return {
        "name": name,
        "kind": table.kind,
        "short": _short_title(table, view.board),
        "title": table.title,
        "tasks": table.tasks,
        "model": table.model,
        "questions": table.questions,
        "power": power(table.rows, table.questions, table.smallest_difference),
        "legend": table.legend,
        "caption": [line for line in table.caption if line not in table.cautions],
        "notes": [
            _here(note, view.runs)
            for note in (*table.cautions, *floors_line(table.floors), *table.notes)
        ],
        "columns": [column.name for column in columns],
        "rows": [_row(row, columns) for row in table.rows],
        "floors": [[floor.name, floor.mb_per_1000] for floor in table.floors],
    }


def _row(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    has_params = row.label.startswith(f"{row.method} ")
    return {
        "label": row.label,
        "name": row.method if has_params else row.label,
        "detail": row.label.removeprefix(row.method).strip() if has_params else "",
        "title": row.title,
        "oracle": row.oracle,
        "external": bool(row.external),
        "top": row.top,
        "elsewhere": row.cost.elsewhere,
        "p90": {"latency": row.cost.latency_p90, "ttft": row.cost.ttft_p90},
        "cells": {column.name: cell(column, row) for column in columns},
    }


def _short_title(table: Table, board: Leaderboard) -> str:
    """What tells a table from the others: its task, and what else differs between tables."""
    task = "Mean" if table.kind == "mean" else table.tasks[0]
    parts = [task]
    alike = [t for t in board.tables if (t.kind, t.tasks) == (table.kind, table.tasks)]
    if len({t.model for t in board.tables}) > 1:
        parts.append(table.model)
    for setting, of in (("task.split", "{}"), ("task.limit", "n = {}")):
        if len({str(t.settings.get(setting)) for t in alike}) > 1:
            value = table.settings.get(setting)
            parts.append(of.format(f"{value:,}" if isinstance(value, int) else value or "all"))
    if len({size_of(t.settings) for t in alike}) > 1:
        parts.append(size_of(table.settings).replace("documents", "docs") or "all docs")
    return " \u00b7 ".join(parts)
