"""Markdown: GitHub tables, each with its caption above and its notes below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.escape import markdown_text, shortened
from harness.report import bullets
from leaderboards.board import Table
from leaderboards.published.block import to_markdown as published_markdown
from leaderboards.view import ALL, View
from leaderboards.writers.grid import (
    LONGEST_LINE,
    MARKDOWN,
    Grid,
    below,
    explained,
    grids,
    not_shown,
    width,
)


def to_markdown(view: View) -> bytes:
    """Write the board for people; how to read the numbers stands once, at the end."""
    parts = ["# Leaderboard", *_sections(view)]
    if view.board.tables:
        lines = explained(view, view.board.tables)
        if left := not_shown(view):
            lines.append(f"More columns, by --columns NAME,NAME or all: {', '.join(left)}.")
        parts += ["## How to read the tables", "\n".join(f"- {line}" for line in lines)]
    if view.board.notes:
        parts += ["## Notes", bullets(map(_cut, view.board.notes))]
    if view.published:
        parts.append(published_markdown(view.published, wide=view.columns == ALL))
    return ("\n\n".join(parts) + "\n").encode()


def _sections(view: View) -> Iterator[str]:
    for heading, tables in view.sections.items():
        if heading:
            yield f"## {_text(heading)}"
        for table in tables:
            yield from _table(view, table, "###" if heading else "##")


def _table(view: View, table: Table, level: str) -> Iterator[str]:
    yield f"{level} {_text(table.title)}"
    yield bullets(map(_cut, table.caption))
    yield from map(pipes, grids(view, table, MARKDOWN))
    if notes := below(view, table):
        yield bullets(map(_cut, notes))


def _text(line: str) -> str:
    return markdown_text(_cut(line))


def _cut(line: str) -> str:
    return shortened(line, LONGEST_LINE)


def pipes(grid: Grid) -> str:
    """A pipe table as narrow as its cells; the first column is aligned to the left."""
    widths = [max(size, 3) for size in grid.widths]
    rules = [":" + "-" * (widths[0] - 1), *("-" * (size - 1) + ":" for size in widths[1:])]
    lines = [grid.headings, rules, *grid.rows]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    padded = [(" " * (size - width(cell)), cell) for cell, size in zip(cells, widths, strict=True)]
    (pad, first), *others = padded
    return f"| {' | '.join([first + pad, *(pad + cell for pad, cell in others)])} |"
