"""Markdown: GitHub tables, each with its caption above and its notes below."""

from __future__ import annotations

from collections.abc import Sequence

from harness.escape import markdown_text
from harness.report import bullets, pipe_table
from leaderboards.board import Table
from leaderboards.cells import Column, columns, further_columns
from leaderboards.view import View


def to_markdown(view: View) -> bytes:
    """Write the board for people."""
    parts = ["# Leaderboard", *map(_table, view.board.tables)]
    if view.board.notes:
        parts += ["## Notes", bullets(view.board.notes)]
    return ("\n\n".join(parts) + "\n").encode()


def _table(table: Table) -> str:
    grids = [_grid(table, columns(table.kind, table.rows, table.k))]
    if table.kind == "task":
        further = further_columns(table.rows, table.k)
        grids += [_grid(table, further)] if len(further) > 1 else []
    parts = [f"## {markdown_text(table.title)}", bullets(table.caption), *grids]
    return "\n\n".join(parts + ([bullets(table.notes)] if table.notes else []))


def _grid(table: Table, shown: Sequence[Column]) -> str:
    return pipe_table(
        [header for header, _ in shown], [[cell(row) for _, cell in shown] for row in table.rows]
    )
