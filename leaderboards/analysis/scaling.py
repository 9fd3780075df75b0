"""Scaling: how quality and latency change with the number of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leaderboards.analysis.series import Pool, Series
from leaderboards.rows import DEFAULT_K, Row, Score

FINDING = ("select", "search")
"""Kinds of work that find what is read."""


@dataclass(frozen=True, slots=True)
class Point:
    """One method on one number of documents; None where nothing was measured."""

    pool: Pool
    row: Row
    documents: int
    finding: tuple[str, ...]
    """The kinds of work in ``finding_p50``: select, search or both."""
    finding_p50: float | None
    """Median seconds a query of selection and search, one query at a time."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What one panel shows, in the unit of its ``name``."""

    name: str
    value: Callable[[Point], float | None]
    interval: Callable[[Point], tuple[float, float]] | None = None

    def ends(self, point: Point, value: float) -> tuple[float, float]:
        """The interval around ``value``; the value itself without one."""
        return self.interval(point) if self.interval else (value, value)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else 1000 * value


MEASURES = (
    Measure(
        "F1 [95% CI], %",
        lambda point: 100 * point.row.f1.mean,
        lambda point: (100 * point.row.f1.interval.low, 100 * point.row.f1.interval.high),
    ),
    Measure(
        f"Recall@{DEFAULT_K}, %",
        lambda point: _percent(point.row.recall.mean if point.row.recall else None),
    ),
    Measure("Latency p50, ms", lambda point: _milliseconds(point.row.cost.latency_p50)),
    Measure("Selection or search p50, ms", lambda point: _milliseconds(point.finding_p50)),
)


def find_points(series: Series) -> list[Point]:
    """Every method on every number of documents, if there are several; else nothing."""
    if len(series.sizes) < 2:
        return []
    return [
        _point(series, pool, row, pool.documents)
        for pool in series.pools
        if pool.documents is not None
        for row in pool.rows
    ]


def scaling_records(points: Iterable[Point]) -> Iterator[dict[str, Any]]:
    """One record a method and number of documents; a question's timings in milliseconds."""
    for point in points:
        row = point.row
        yield {
            **point.pool.record(),
            "method": row.label,
            "oracle": int(row.oracle),
            "seeds": " ".join(map(str, row.seeds)),
            "questions": point.pool.questions,
            **_score("f1", row.f1),
            **_score(f"recall@{DEFAULT_K}", row.recall),
            "latency_p50_ms": _milliseconds(row.cost.latency_p50),
            "finding_p50_ms": _milliseconds(point.finding_p50),
            "finding": "+".join(point.finding),
            "write_seconds": row.cost.write_seconds,
            "write_tokens": row.cost.write_tokens,
        }


def by_method(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points of each method, by label, smallest corpus first."""
    lines: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.row.label, point.documents)):
        lines.setdefault(point.row.label, []).append(point)
    return lines


def _point(series: Series, pool: Pool, row: Row, documents: int) -> Point:
    seconds: list[float] = []
    kinds: set[str] = set()
    for run in pool.entry(row).runs:
        latency = run.performance.latency
        if latency is None or run.manifest.hardware.key != series.hardware.key:
            continue
        found = {kind: latency.by_kind[kind] for kind in FINDING if kind in latency.by_kind}
        kinds |= found.keys()
        seconds += [sum(parts) for parts in zip(*found.values(), strict=True)]
    median = float(np.median(seconds)) if seconds else None
    return Point(pool, row, documents, tuple(k for k in FINDING if k in kinds), median)


def _score(name: str, score: Score | None) -> dict[str, float | None]:
    low, high = (None, None) if score is None else score.interval
    mean = None if score is None else score.mean
    return {name: mean, f"{name}_low": low, f"{name}_high": high}
