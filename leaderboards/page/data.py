"""The data of a page: tables, plots, curves, published figures and where everything is from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from leaderboards.board import Leaderboard, Table
from leaderboards.page.columns import Column, cell, columns_of, glossary
from leaderboards.page.curves import learning, scaling
from leaderboards.page.provenance import provenance
from leaderboards.page.published import published
from leaderboards.rounding import plain
from leaderboards.rows import Row
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
    columns: dict[str, Column] = {}
    tables = []
    for name, table in named(board):
        shown = columns_of(table.rows, table.k)
        columns |= {column.key: column for column in shown}
        tables.append(_table(name, table, shown, board))
    found: dict[str, Any] = plain({
        "title": "Leaderboard",
        "runs": view.runs.absolute().name,
        "tables": tables,
        "columns": glossary(columns),
        "labels": _labels(board),
        "notes": board.notes,
        "learning": learning(view.runs),
        "scaling": scaling(view.runs, board),
        "published": published(board),
        "provenance": provenance(view.runs, of_tasks(board)),
    })  # fmt: skip
    return found


def _labels(board: Leaderboard) -> list[dict[str, str]]:
    """Every row's label once, which gives it its look, and the short name that plots have."""
    rows = {row.label: row for table in board.tables for row in table.rows}
    methods = [row.method for row in rows.values()]
    return [
        {"label": label, "short": rows[label].method if _is_told(rows[label], methods) else label}
        for label in sorted(rows)
    ]


def _is_told(row: Row, methods: Sequence[str]) -> bool:
    """Whether a row's method alone tells which it is."""
    return methods.count(row.method) == 1 and not row.external


def _table(
    name: str, table: Table, columns: Sequence[Column], board: Leaderboard
) -> dict[str, Any]:
    return {
        "name": name,
        "kind": table.kind,
        "short": _short_title(table, board),
        "title": table.title,
        "tasks": table.tasks,
        "model": table.model,
        "questions": table.questions,
        "caption": table.caption,
        "notes": table.notes,
        "columns": [column.key for column in columns],
        "rows": [_row(row, columns) for row in table.rows],
        "floors": [[floor.name, floor.mb_per_1000, floor.note] for floor in table.floors],
    }


def _row(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    return {
        "label": row.label,
        "method": row.method,
        "detail": row.label.removeprefix(row.method).strip(),
        "title": row.title,
        "oracle": row.oracle,
        "external": row.external,
        "top": row.top,
        "elsewhere": row.cost.elsewhere,
        "cells": {column.key: cell(column.value(row)) for column in columns},
    }


def _short_title(table: Table, board: Leaderboard) -> str:
    """What tells a table from the others: its task, and what else differs between tables."""
    task = "Mean" if table.kind == "mean" else table.tasks[0]
    parts = [task]
    alike = [t for t in board.tables if (t.kind, t.tasks) == (table.kind, table.tasks)]
    if len({t.model for t in board.tables}) > 1:
        parts.append(table.model)
    for setting, of in (
        ("task.split", "{}"),
        ("task.limit", "n = {}"),
        ("task.passages", "{} docs"),
    ):
        if len({str(t.settings.get(setting)) for t in alike}) > 1:
            value = table.settings.get(setting)
            parts.append(of.format(f"{value:,}" if isinstance(value, int) else value or "all"))
    return " \u00b7 ".join(parts)
