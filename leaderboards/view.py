"""View: a board as it is to be shown, which every writer turns into the bytes of its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, did_you_mean
from harness.metrics import RECALL_AT
from leaderboards.board import Leaderboard, Table, build
from leaderboards.columns import Column, find_columns, sorted_rows
from leaderboards.labels import Labelled, Name, short_names
from leaderboards.published import Figure, figures
from leaderboards.rows import DEFAULT_K

ALL = ("all",)
GROUPS = ("model", "task")


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of the runs below ``runs``: ``board`` has its tables and rows in their order.

    ``columns`` are names of columns, or ``ALL``; none are those that the format shows by itself.
    ``known`` are all columns by name, ``names`` what rows are called in narrow tables, by their
    labels. ``group`` is what tables stand together by, if they were grouped. ``published`` are
    figures of others, to be shown in a block of their own.
    """

    runs: Path
    board: Leaderboard
    columns: tuple[str, ...]
    known: Mapping[str, Column]
    names: Mapping[str, Name]
    group: str = ""
    published: tuple[Figure, ...] = ()

    @property
    def chosen(self) -> list[Column]:
        """The columns that were chosen by name, the method first."""
        return [self.known[name] for name in dict.fromkeys(("method", *self.columns))]

    @property
    def sections(self) -> dict[str, list[Table]]:
        """Tables by the heading that they stand under; one without words if there are no groups."""
        parts: dict[str, list[Table]] = {}
        for table in self.board.tables:
            parts.setdefault(_heading(table, self.group), []).append(table)
        return parts


def view(
    runs: Path,
    *,
    k: int = DEFAULT_K,
    columns: Sequence[str] = (),
    sort: str = "",
    group: str = "",
    published: bool = False,
    strict: bool = False,
) -> View:
    """Read the runs and arrange them: rows by a column, tables by ``model`` or ``task``.

    ``published`` adds what others report on the tasks.

    Raises InputError where no finished run is left, if ``strict`` also for a damaged one,
    ConfigError for a ``k`` that is not scored or a name that there is not.
    """
    if k not in RECALL_AT:
        raise ConfigError(f"k = {k}: retrieval is scored at {', '.join(map(str, RECALL_AT))}")
    if group and group not in GROUPS:
        raise ConfigError(f"--group {group}: no such grouping{did_you_mean(group, list(GROUPS))}")
    board = build(runs, k, strict=strict)
    rows = [row for table in board.tables for row in table.rows]
    known = find_columns(rows, k)
    for name in (*columns, *filter(None, [sort])):
        if name not in known and (name, *columns[1:]) != ALL:
            raise ConfigError(f"no column is called '{name}'{did_you_mean(name, list(known))}")
    tables = list(board.tables)
    if sort:
        tables = [replace(t, rows=tuple(sorted_rows(t.rows, known[sort]))) for t in tables]
    if group:
        tables = _together(tables, group)
    shown = [row for table in tables for row in table.rows]
    names = short_names(Labelled(row.label, row.method, row.params) for row in shown)
    arranged = replace(board, tables=tuple(tables))
    tasks = {task for table in tables for task in table.tasks}
    others = figures(tasks) if published else ()
    return View(runs, arranged, tuple(columns), known, names, group, others)


def _together(tables: Sequence[Table], group: str) -> list[Table]:
    parts: dict[Any, list[Table]] = {}
    for table in tables:
        parts.setdefault(_heading(table, group), []).append(table)
    return [table for part in parts.values() for table in part]


def _heading(table: Table, group: str) -> str:
    if group == "task":
        tasks = ", ".join(table.tasks)
        return f"Mean over {tasks}" if table.kind == "mean" else tasks
    return table.model if group == "model" else ""
