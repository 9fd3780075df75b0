"""Column and field: what a table can show of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from leaderboards.cells import ELSEWHERE, MISSING
from leaderboards.rows import Row

Kind = Literal["float", "int", "bool", "text"]
Better = Literal["high", "low", ""]
Value = float | int | bool | str | None
Text = Callable[[Row], str]


@dataclass(frozen=True, slots=True)
class Field:
    """One flat value of a row, or None; ``name`` tells its unit, scores are from 0 to 1."""

    name: str
    kind: Kind
    value: Callable[[Row], Value]


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its ``name``; ``explanation`` is one sentence for a reader.

    ``text`` is of numbers and words of our own; writers escape one that is ``foreign``. Rows are
    sorted by the first field. ``short`` and ``short_text`` are heading and text in a narrow table,
    where they differ. ``is_metric``: it is there because some run has a score of this name.
    """

    name: str
    heading: str
    explanation: str
    text: Text
    fields: tuple[Field, ...]
    better: Better = ""
    short: str = ""
    short_text: Text | None = None
    is_metric: bool = False
    foreign: bool = False

    @property
    def narrow(self) -> Column:
        """The column as a narrow table has it."""
        return replace(self, heading=self.short or self.heading, text=self.short_text or self.text)

    def is_in(self, rows: Iterable[Row]) -> bool:
        """Whether any row has something to show."""
        return any(self.text(row) not in (MISSING, ELSEWHERE) for row in rows)


def sorted_rows(rows: Iterable[Row], column: Column) -> list[Row]:
    """Rows by a column, best first where it has a best, those without a value last."""

    def value(row: Row) -> Any:
        return column.fields[0].value(row)

    known: list[Row] = []
    unknown: list[Row] = []
    for row in rows:
        (unknown if value(row) is None else known).append(row)
    return sorted(known, key=value, reverse=column.better == "high") + unknown


def summed(
    names: Iterable[str],
    values: Callable[[Row], Mapping[str, float]],
    kind: Kind,
    *,
    before: str,
    after: str = "",
) -> list[Field]:
    """Fields of values that others named, in letters, digits and underscores; equal ones added."""
    alike: dict[str, list[str]] = {}
    for name in sorted(names):
        plain = re.sub(r"[^0-9A-Za-z]+", "_", name)[:60].strip("_") or "other"
        alike.setdefault(f"{before}_{plain}{after}", []).append(name)
    return [Field(field, kind, _sum(values, members)) for field, members in alike.items()]


def _sum(
    values: Callable[[Row], Mapping[str, float]], names: Sequence[str]
) -> Callable[[Row], Value]:
    def total(row: Row) -> Value:
        found = [values(row)[name] for name in names if name in values(row)]
        return sum(found) if found else None

    return total
