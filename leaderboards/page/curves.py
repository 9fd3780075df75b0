"""Curves of a page: what trained parts learnt step by step, and methods over growing corpora."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.boards.prepare import FOLDER
from harness.errors import InputError
from harness.fingerprint import canonical_json
from leaderboards.analysis.scaling import MEASURES, Measure, Point, find_points
from leaderboards.analysis.series import read_series
from leaderboards.board import Leaderboard

CURVES = "curves.csv"
MOST_POINTS = 400
"""Points of one learning curve; of longer ones every second, third, ... step stands in a page."""


def learning(runs: Path) -> list[dict[str, Any]]:
    """The curves of every part that a board trained, by the name of its preparation.

    Raises InputError for a file that is damaged.
    """
    found = sorted((runs / FOLDER).rglob(CURVES))
    return [
        {"name": str(path.parent.relative_to(runs / FOLDER)), "series": list(_series(path))}
        for path in found
    ]


def _series(path: Path) -> Iterator[dict[str, Any]]:
    points: dict[str, list[tuple[int, float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                point = (int(row["step"]), float(row["value"]))
                points.setdefault(row["measure"], []).append(point)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: no learning curves ({error}); need the columns step, measure and value"
        ) from error
    for measure, curve in points.items():
        every = -(-len(curve) // MOST_POINTS)
        yield {"measure": measure, "points": [*curve[:-1:every], curve[-1]], "every": every}


def scaling(runs: Path, board: Leaderboard) -> list[dict[str, Any]]:
    """Each method over the number of documents, where tables differ in nothing else."""
    if not _has_sizes(board):
        return []
    found = []
    for series in read_series(runs)[0]:
        points = find_points(series)
        if points:
            group = series.largest.group
            lines: dict[str, list[dict[str, Any]]] = {}
            for point in points:
                values = [_measured(measure, point) for measure in MEASURES]
                line = lines.setdefault(point.row.label, [])
                line.append({"documents": point.documents, "values": values})
            found.append({
                "title": group.title,
                "questions": series.largest.questions,
                "measures": [measure.name for measure in MEASURES],
                "lines": lines,
            })  # fmt: skip
    return found


def _measured(measure: Measure, point: Point) -> Sequence[float] | None:
    value = measure.value(point)
    return None if value is None else [value, *measure.ends(point, value)]


def _has_sizes(board: Leaderboard) -> bool:
    """Whether two tables are of one task and model, so that reading all again may show a line."""
    alike = [
        canonical_json([table.tasks, table.model]) for table in board.tables if table.kind == "task"
    ]
    return len(set(alike)) < len(alike)
