"""A leaderboard as flat records: one value a cell, the unit in its name; settings stand beside.

A record names what it shares with the rows of its table by ``settings_id`` and what it is itself by
``row_id``; ``settings`` tells what both stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.escape import one_line, shortened
from harness.fingerprint import fingerprint
from leaderboards.board import Table
from leaderboards.columns import Column, Field, Kind
from leaderboards.dealt import size_of
from leaderboards.rounding import plain
from leaderboards.rows import Row
from leaderboards.view import ALL, View

FORMAT_VERSION = 1
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """One flat value of the table that a row stands in."""

    name: str
    kind: Kind
    value: Callable[[Table], Any]


_PLACE = (
    Place("table", "text", lambda table: table.kind),
    Place("task", "text", lambda table: table.tasks[0] if table.kind == "task" else None),
    Place("split", "text", lambda table: table.settings.get("task.split")),
    Place("limit", "int", lambda table: table.settings.get("task.limit")),
    Place("model", "text", lambda table: table.model),
    Place("questions", "int", lambda table: table.questions),
    Place("hardware", "text", lambda table: table.hardware or None),
    Place("settings_id", "text", lambda table: _settings_id(table)),
)
_SIZE = (
    Place("documents", "int", lambda table: table.settings.get("task.passages")),
    Place("pools", "int", lambda table: _pools(table)),
)
"""Told where tables of a task differ in it, so that all other boards have the columns they had."""


def kinds(view: View) -> dict[str, Kind]:
    """The names of the values of a record, in their order, and what they are."""
    places = {place.name: place.kind for place in _places(view)}
    return places | {"row_id": "text"} | {field.name: field.kind for field in _fields(view)}


def records(view: View) -> list[dict[str, Any]]:
    """One record per row of every table, text on one line, numbers rounded for all machines."""
    places, fields = _places(view), _fields(view)
    return [
        {name: _clean(value) for name, value in _record(table, row, places, fields).items()}
        for table in view.board.tables
        for row in table.rows
    ]


def settings(view: View) -> dict[str, Any]:
    """What the ids of the records stand for, as JSON."""
    tables = view.board.tables
    told: dict[str, Any] = plain({
        "format_version": FORMAT_VERSION,
        "settings": {_settings_id(table): _shared(table) for table in tables},
        "rows": {_row_id(table, row): _own(row) for table in tables for row in table.rows},
    })  # fmt: skip
    return told


def _fields(view: View) -> list[Field]:
    columns: Sequence[Column] = list(view.known.values())
    if view.columns not in ((), ALL):
        columns = view.chosen
    return list({field.name: field for column in columns for field in column.fields}.values())


def _places(view: View) -> Sequence[Place]:
    sizes: dict[tuple[str, ...], set[str]] = {}
    for table in view.board.tables:
        sizes.setdefault(table.tasks, set()).add(size_of(table.settings))
    return [*_PLACE, *_SIZE] if any(len(known) > 1 for known in sizes.values()) else _PLACE


def _record(
    table: Table, row: Row, places: Sequence[Place], fields: Sequence[Field]
) -> dict[str, Any]:
    place = {place.name: place.value(table) for place in places}
    own = {field.name: field.value(row) for field in fields}
    return place | {"row_id": _row_id(table, row)} | own


def _clean(value: Any) -> Any:
    # A cell of a spreadsheet holds 32,767 characters; the settings have the whole text.
    return shortened(one_line(value), _LONGEST) if isinstance(value, str) else plain(value)


def _shared(table: Table) -> dict[str, Any]:
    floors = {floor.name: floor.mb_per_1000 for floor in table.floors}
    shown = {"tasks": list(table.tasks), "k": table.k, **table.settings}
    return shown | ({"storage_floors_mb_per_1000_documents": floors} if floors else {})


def _own(row: Row) -> dict[str, Any]:
    return {
        "row": row.label,
        "method": row.method,
        "params": dict(row.params),
        "seeds": list(row.seeds),
        "run_ids": list(row.run_ids),
    }


def _pools(table: Table) -> int | None:
    """Into how many pools of so many documents the questions were dealt; None if into none."""
    dealt = table.settings.get("task.dealt")
    return dealt["pools"] if dealt else None


def _settings_id(table: Table) -> str:
    return fingerprint(plain(_shared(table)))[:12]


def _row_id(table: Table, row: Row) -> str:
    return fingerprint([_settings_id(table), plain(_own(row))])[:12]
