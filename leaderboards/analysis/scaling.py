"""Scaling: how quality, latency and what a memory takes change with the number of documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np

from harness.records import SHARED
from harness.runs.performance import Latency
from leaderboards.analysis.forgetting import Forgotten
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
    bytes: float | None
    """Of the method's memories of all pools, shared parameters left out; a mean over seeds."""
    forgotten: Forgotten | None = None
    """What its weights cost the model's own answers, where that was measured beside the runs."""

    @property
    def pools(self) -> int:
        """Corpora of this size, in which the questions are asked: one, unless they were dealt."""
        dealt = self.pool.group.manifest.config.task.dealt
        return dealt.pools if dealt else 1

    @property
    def building_seconds(self) -> float | None:
        """What writing the memories of all pools took, or building their indexes."""
        cost = self.row.cost
        known = [s for s in (cost.write_seconds, cost.index_seconds) if s is not None]
        return sum(known) if known else None

    def of_a_pool(self, value: float | None) -> float | None:
        """The share of one pool in what all of a size took."""
        return None if value is None else value / self.pools

    def per_1000(self, value: float | None) -> float | None:
        """What all pools took, for 1,000 of their documents."""
        return None if value is None else 1000 * value / (self.pools * self.documents)


@dataclass(frozen=True, slots=True)
class Measure:
    """What one panel shows, in the unit of its ``name``; ``scale`` times as much as is stored."""

    name: str
    value: Callable[[Point], float | None]
    interval: Callable[[Point], tuple[float, float]] | None = None
    scale: float = 1.0

    @property
    def short(self) -> str:
        """The name without its unit."""
        return self.name.rpartition(",")[0].removesuffix(" [95% CI]")

    def ends(self, point: Point, value: float) -> tuple[float, float]:
        """The interval around ``value``; the value itself without one."""
        return self.interval(point) if self.interval else (value, value)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else 1000 * value


F1 = Measure(
    "F1 [95% CI], %",
    lambda point: 100 * point.row.f1.mean,
    lambda point: (100 * point.row.f1.interval.low, 100 * point.row.f1.interval.high),
    scale=100,
)
LATENCY = Measure(
    "Latency p50, ms", lambda point: _milliseconds(point.row.cost.latency_p50), scale=1000
)
FIRST_TOKEN = Measure(
    "Time to first token p50, ms", lambda point: _milliseconds(point.row.cost.ttft_p50), scale=1000
)
MEGABYTES = Measure(
    "Memory of a pool, MB",
    lambda point: None if point.bytes is None else point.bytes / point.pools / 1e6,
)
MEASURES = (
    F1,
    Measure(
        f"Recall@{DEFAULT_K}, %",
        lambda point: _percent(point.row.recall.mean if point.row.recall else None),
    ),
    LATENCY,
    FIRST_TOKEN,
    Measure("Selection or search p50, ms", lambda point: _milliseconds(point.finding_p50)),
    Measure("Writing or indexing a pool, s", lambda point: point.of_a_pool(point.building_seconds)),
    MEGABYTES,
    Measure(
        "Closed-book F1, change [95% CI], points",
        lambda point: 100 * point.forgotten.difference if point.forgotten else None,
        lambda point: _forgotten_ends(point),
    ),
)


def find_points(series: Series, forgotten: Sequence[Forgotten] = ()) -> list[Point]:
    """Every method on every number of documents, if there are several; else nothing."""
    if len(series.sizes) < 2:
        return []
    return [
        _point(series, pool, row, pool.documents, forgotten)
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
            "first_token_p50_ms": _milliseconds(row.cost.ttft_p50),
            "index_seconds": row.cost.index_seconds,
            "bytes": point.bytes,
            "shared_mb": row.cost.storage_shared_mb,
            "pools": point.pools,
            "write_seconds_per_1000_documents": point.per_1000(row.cost.write_seconds),
            "write_tokens_per_1000_documents": point.per_1000(row.cost.write_tokens),
            "bytes_per_1000_documents": point.per_1000(point.bytes),
            **_forgotten(point.forgotten),
        }


def by_method(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points of each method, by label, smallest corpus first."""
    lines: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.row.label, point.documents)):
        lines.setdefault(point.row.label, []).append(point)
    return lines


def _point(
    series: Series, pool: Pool, row: Row, documents: int, forgotten: Sequence[Forgotten]
) -> Point:
    run = pool.entry(row).runs[0]
    lost = next((one for one in forgotten if one.is_of(run, documents)), None)
    point = Point(pool, row, documents, (), None, _bytes(pool, row), lost)
    seconds: list[float] = []
    kinds: set[str] = set()
    for latency in timed(series, point):
        found = {kind: latency.by_kind[kind] for kind in FINDING if kind in latency.by_kind}
        kinds |= found.keys()
        seconds += [sum(parts) for parts in zip(*found.values(), strict=True)]
    median = float(np.median(seconds)) if seconds else None
    return replace(point, finding=tuple(k for k in FINDING if k in kinds), finding_p50=median)


def timed(series: Series, point: Point) -> list[Latency]:
    """Single queries of a point's runs, of those that were timed where most were."""
    return [
        run.performance.latency
        for run in point.pool.entry(point.row).runs
        if run.performance.latency and run.manifest.hardware.key == series.hardware.key
    ]


def _bytes(pool: Pool, row: Row) -> float | None:
    stores = [run.performance.storage for run in pool.entry(row).runs]
    own = [
        sum(size for name, size in store.parts.items() if name != SHARED)
        for store in stores
        if store is not None
    ]
    return fmean(own) if own and len(own) == len(stores) else None


def _forgotten(lost: Forgotten | None) -> dict[str, float | None]:
    low, high = (None, None) if lost is None or lost.interval is None else lost.interval
    return {
        "closed_book_f1_difference": lost.difference if lost else None,
        "closed_book_f1_difference_low": low,
        "closed_book_f1_difference_high": high,
        "closed_book_questions": lost.questions if lost else None,
    }


def _forgotten_ends(point: Point) -> tuple[float, float]:
    lost = point.forgotten
    low, high = (lost and lost.interval) or (0.0, 0.0)
    return 100 * low, 100 * high


def _score(name: str, score: Score | None) -> dict[str, float | None]:
    low, high = (None, None) if score is None else score.interval
    mean = None if score is None else score.mean
    return {name: mean, f"{name}_low": low, f"{name}_high": high}
