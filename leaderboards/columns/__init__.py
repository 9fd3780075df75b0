"""Columns of a leaderboard: names to choose them by, what they mean, their texts and flat values.

Everything that shows a row stands on them: a text table has a column's text, CSV, Parquet and the
frame its fields, one value each with the unit in the name.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.metrics import is_added
from leaderboards.columns.base import Column, Field, Kind, sorted_rows
from leaderboards.columns.cost import space, timing, usage
from leaderboards.columns.judge import judging
from leaderboards.columns.quality import metric, mishaps, own_metric, quality
from leaderboards.rows import DEFAULT_K, Row

__all__ = ["METHOD", "Column", "Field", "Kind", "find_columns", "further", "sorted_rows"]

METHOD = Column(
    "method",
    "Method",
    "The method and the parameters that are not its defaults.",
    lambda row: row.label,
    (
        Field("row", "text", lambda row: row.label),
        Field("method", "text", lambda row: row.method),
        Field("oracle", "bool", lambda row: row.oracle),
        Field("external", "text", lambda row: row.external),
        Field("seeds", "int", lambda row: len(row.seeds)),
    ),
    foreign=True,
)
"""What every table begins with."""


def find_columns(rows: Iterable[Row] = (), k: int = DEFAULT_K) -> dict[str, Column]:
    """Every column by its name, in the order of a table; other scores that rows have come last.

    ``k`` is the cut-off of the retrieval scores.
    """
    everything = list(rows)
    known = [
        METHOD, *quality(k), *judging(), *timing(), *usage(), *space(everything),
        *mishaps(everything),
    ]  # fmt: skip
    told = {field.name for column in known for field in column.fields}
    others = sorted({name for row in everything for name in row.means} - told, key=_in_order)
    own = {name for row in everything for name in row.own}
    rest = [own_metric(name) if name in own else metric(name) for name in others]
    return {column.name: column for column in [*known, *rest]}


def _in_order(name: str) -> tuple[str, int, str]:
    """Cut-offs as numbers: 5 comes before 10."""
    kind, _, k = name.partition("@")
    return kind, int(k) if k.isdecimal() else 0, name


def further(columns: Iterable[Column], rows: Iterable[Row], k: int) -> list[Column]:
    """Scores that stand in a table below: those that the task adds, and recalls that say more."""
    everything = list(rows)
    same_as = {f"hit@{k}": f"recall@{k}", "recall_retrieved": "recall_read"}

    def says_more(name: str) -> bool:
        found = [row for row in everything if row.means.get(name) is not None]
        if name in same_as:
            return any(row.means[name] != row.means.get(same_as[name]) for row in found)
        return bool(found) and is_added(name)

    return [column for column in columns if column.is_metric and says_more(column.name)]
