"""Grid: the texts of a table for people, as its columns and its width allow."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness.escape import markdown_text
from leaderboards.board import Table
from leaderboards.cells import has_doubtful_replies
from leaderboards.columns import Column, further
from leaderboards.floors import floors_line
from leaderboards.labels import Name, numbered
from leaderboards.rows import Row
from leaderboards.significance import power
from leaderboards.view import ALL, View

WIDTH = 120
"""Characters of a line of a table whose columns nobody chose."""
LONGEST_LINE = 2000
"""Characters of a line of text around tables; whoever wrote more meant no good."""
NARROW = (
    "method", "f1", "em", "judge", "judge_agreement", "recall", "latency", "tokens", "storage",
    "errors", "calls", "ttft",
)  # fmt: skip
"""Columns of a narrow table, those that stay longest first."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a format writes foreign text, numbers and words of our own, and what is bold."""

    foreign: Callable[[str], str]
    own: Callable[[str], str]
    bold: Callable[[str], str]


MARKDOWN = Style(markdown_text, str, lambda text: f"**{text}**")


@dataclass(frozen=True, slots=True)
class Grid:
    """Texts as they are written: headings, and for each row as many cells."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def widths(self) -> list[int]:
        """Characters of each column."""
        return [max(map(width, column)) for column in zip(self.headings, *self.rows, strict=True)]


def grids(view: View, table: Table, style: Style) -> list[Grid]:
    """What is shown of a table: by itself a narrow grid, and one of further scores if there are."""
    return [_grid(view, table, columns, style) for columns in _columns(view, table)]


def explained(view: View, tables: Iterable[Table], style: Style = MARKDOWN) -> list[str]:
    """What to know of the tables' signs and columns, each line once, as the style writes it."""
    everything = list(tables)
    found = {c.name: c for t in everything for columns in _columns(view, t) for c in columns}
    shown = [found[name] for name in view.known if name in found and name != "method"]
    signs = dict.fromkeys(line for table in everything for line in table.legend)
    return [
        *map(style.foreign, signs),
        *(f"{_heading(column, style)}: {style.own(column.explanation)}" for column in shown),
    ]


def below(view: View, table: Table) -> list[str]:
    """What stands under a table as plain text: what it could show, marks of names, notes."""
    marked = [name for name in _names(view, table).values() if name.mark]
    could_show = power(table.rows, table.questions, table.smallest_difference)
    marks = [f"{name.mark} {name.footnote}" for name in marked]
    return [*filter(None, [could_show]), *marks, *floors_line(table.floors), *table.notes]


def not_shown(view: View) -> list[str]:
    """Names of columns that hold something and stand in no table, if nobody chose columns."""
    if view.columns:
        return []
    tables = view.board.tables
    shown = {c.name for table in tables for columns in _columns(view, table) for c in columns}
    rows = [row for table in tables for row in table.rows]
    others = (column for column in view.known.values() if column.name not in shown)
    # Each score of the ranking is there at four cut-offs.
    return [c.name for c in others if "@" not in c.name and _is_worth(c, rows)]


def width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def line_width(grid: Grid) -> int:
    """Characters of a line of a pipe table."""
    return sum(size + 3 for size in grid.widths) + 1


def _columns(view: View, table: Table) -> list[list[Column]]:
    if view.columns and view.columns != ALL:
        return [view.chosen]
    worth = [column for column in view.known.values() if _is_worth(column, table.rows)]
    if view.columns:
        return [worth]
    narrow = {c.name: c.narrow for c in worth if c.name in NARROW}
    first = ["method", "errors"] if any(row.errors for row in table.rows) else []
    order = [*first, *NARROW]
    found = [_fitting(view, table, sorted(narrow.values(), key=lambda c: order.index(c.name)))]
    more = further(worth, table.rows, table.k) if table.kind == "task" else []
    return [*found, _fitting(view, table, [narrow["method"], *more])] if more else found


def _is_worth(column: Column, rows: Sequence[Row]) -> bool:
    """Whether a column says anything of these rows."""
    if column.name in ("unanswered", "retries"):
        return any(column.fields[0].value(row) for row in rows)
    if column.name in ("empty", "cut_off"):
        return has_doubtful_replies(rows)
    if column.name == "all_gold":
        return any(row.all_gold not in (None, row.recall) for row in rows)
    return column.is_in(rows)


def _fitting(view: View, table: Table, columns: Sequence[Column]) -> list[Column]:
    """As many of the first columns as fit, in the order of a table."""
    places = {name: place for place, name in enumerate(view.known)}
    for count in range(len(columns), 1, -1):
        kept = sorted(columns[:count], key=lambda column: places[column.name])
        if line_width(_grid(view, table, kept, MARKDOWN)) <= WIDTH:
            return kept
    return list(columns[:2])


def _grid(view: View, table: Table, columns: Sequence[Column], style: Style) -> Grid:
    names = _names(view, table)
    rows = [tuple(_cells(names[row.label], row, columns, style)) for row in table.rows]
    return Grid(tuple(_heading(column, style) for column in columns), tuple(rows))


def _heading(column: Column, style: Style) -> str:
    return (style.foreign if column.is_metric else style.own)(column.heading)


def _names(view: View, table: Table) -> dict[str, Name]:
    """What the rows are called here, by their labels."""
    return numbered((row.label for row in table.rows), view.names)


def _cells(name: Name, row: Row, columns: Iterable[Column], style: Style) -> Iterator[str]:
    for column in columns:
        if column.name == "method":
            yield _called(name, row, style)
        else:
            text = (style.foreign if column.foreign else style.own)(column.text(row))
            yield style.bold(text) if row.top and column.name == "f1" else text


def _called(name: Name, row: Row, style: Style) -> str:
    text = style.foreign(name.short)
    marks = [name.mark] if name.mark else []
    marks += ["\u2020oracle"] if row.oracle else []
    marks += ["\u2020external"] if row.external else []
    return " ".join([style.bold(text) if row.top else text, *map(style.own, marks)])
