"""Columns of a page: the leaderboard's own, in groups, with the cells of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.metrics import is_added
from leaderboards.cells import MISSING
from leaderboards.columns import Column
from leaderboards.columns.cost import space, timing, usage
from leaderboards.columns.quality import mishaps
from leaderboards.rows import Row
from leaderboards.view import ALL, View

RETRIEVAL = ("recall", "hit", "all_gold", "precision", "retrieved")
"""Beginnings of the names of scores on what was found; any other score is of the answer."""
ESSENTIAL = ("f1", "em", "recall", "latency", "tokens", "calls", "storage")
INTERVAL = " [95% CI]"
OF_METHOD = "method"


def columns_of(rows: Iterable[Row], k: int, known: Mapping[str, Column]) -> list[Column]:
    """The columns in which any of the rows has something, but for their names.

    Those of the harness's own scores at other cut-offs than ``k`` are left out.
    """
    everything = list(rows)
    return [
        column
        for column in known.values()
        if column.name != OF_METHOD
        and (is_added(column.name) or column.name.partition("@")[2] in ("", str(k)))
        and column.is_in(everything)
    ]


def about(view: View) -> dict[str, dict[str, Any]]:
    """What a page says of each column."""
    places = _groups()
    return {
        name: {
            "label": column.heading.removesuffix(INTERVAL),
            "heading": column.heading,
            "help": column.explanation,
            "group": places.get(name) or _of_score(name),
            "better": column.better,
            "essential": name in ESSENTIAL,
            "chosen": view.columns != ALL and name in view.columns,
        }
        for name, column in view.known.items()
        if name != OF_METHOD
    }


def cell(column: Column, row: Row) -> list[Any] | None:
    """Text, value to sort by and, of a score, the ends of its interval; None if it is missing."""
    text = column.text(row)
    if text == MISSING:
        return None
    value = column.fields[0].value(row)
    low, high = _ends(column, row)
    return [text, value] if low is None else [text, value, low, high]


def _ends(column: Column, row: Row) -> tuple[Any, Any]:
    fields = {field.name: field.value for field in column.fields}
    name = column.fields[0].name
    ends = [fields[key](row) for key in (f"{name}_low", f"{name}_high") if key in fields]
    return (ends[0], ends[1]) if len(ends) == 2 else (None, None)


def _groups() -> dict[str, str]:
    costs = {"Speed": timing(), "Usage": usage(), "Space": space([]), "Mishaps": mishaps([])}
    return {column.name: group for group, columns in costs.items() for column in columns}


def _of_score(name: str) -> str:
    return "Retrieval" if name.startswith(RETRIEVAL) else "Quality"
