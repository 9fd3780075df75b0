"""Crossings: from which size of the corpus on one method is ahead of another, pair by pair.

Of F1 and of single queries' times the interval is over questions, the same ones for both methods
and at all sizes; bytes depend on no question and have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isinf
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.escape import markdown_text
from harness.metrics.statistics import Crossing, crossing, resampled
from harness.report import pipe_table
from harness.runs.performance import Latency
from leaderboards.analysis.scaling import (
    F1,
    FIRST_TOKEN,
    LATENCY,
    MEGABYTES,
    Measure,
    Point,
    by_method,
    timed,
)
from leaderboards.analysis.series import Series, shown_label
from leaderboards.cells import MISSING

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Crossed:
    """A measure of two methods; ``ahead`` is the better one at the largest ``sizes``, or neither.

    ``below`` is the better one at the smallest size, ``height`` the measure where they cross, in
    its unit. ``questions`` were resampled, 0 where nothing was.
    """

    series: Series
    measure: Measure
    pair: tuple[Point, Point]
    below: Point | None
    ahead: Point | None
    sizes: tuple[int, ...]
    found: Crossing | None
    questions: int
    height: float | None

    @property
    def is_told(self) -> bool:
        """Whether the sample crosses and so do resamples from end to end of the interval."""
        found = self.found
        return bool(
            found
            and found.is_within
            and not any(isinf(end or 0) for end in (found.low, found.high))
        )


@dataclass(frozen=True, slots=True)
class _Sampled:
    """A measure whose values are of questions: how they are told, and put together."""

    measure: Measure
    values: Callable[[Series, Point], dict[str, list[float]]]
    """Of each question, one a seed."""
    statistic: Any
    rises: bool
    """Whether more is better."""


def find_crossings(series: Series, points: Sequence[Point]) -> list[Crossed]:
    """Every pair of methods that have a measure at two sizes or more."""
    found: list[Crossed] = []
    for sampled in _SAMPLED:
        found += _of_questions(series, points, sampled)
    return [*found, *_of_bytes(series, points)]


def crossing_records(found: Iterable[Crossed]) -> Iterator[dict[str, Any]]:
    """One record a measure and pair; an end outside of the sizes is ``<10`` or ``>640``."""
    for one in found:
        group, crossed = one.series.largest.group, one.found
        yield {
            "task": group.task,
            "split": group.manifest.config.task.split,
            "model": group.manifest.config.model.called,
            "measure": one.measure.name,
            "method": one.pair[0].row.label,
            "other": one.pair[1].row.label,
            "smallest": one.sizes[0],
            "largest": one.sizes[-1],
            "questions": one.questions or None,
            "ahead_at_smallest": one.below and one.below.row.label,
            "ahead_at_largest": one.ahead and one.ahead.row.label,
            "changes": crossed and crossed.changes,
            "crossing": crossed and _end(one, crossed.at),
            "crossing_low": crossed and _end(one, crossed.low),
            "crossing_high": crossed and _end(one, crossed.high),
            "share_of_resamples_crossing": crossed and crossed.within,
        }


def crossings_table(found: Sequence[Crossed]) -> str:
    """A markdown table of the pairs that cross, and a line a measure on those that do not."""
    headers = (
        "Measure", "Ahead before", "Ahead from there on", "Documents [95% CI]",
        "Resamples that cross", "n",
    )  # fmt: skip
    rows = [_cells(one, one.found) for one in found if one.found and one.found.is_within]
    parts = [pipe_table(headers, rows, left=(0, 1, 2))] if rows else []
    lines: dict[str, dict[str, list[str]]] = {}
    for one in found:
        if one.found is None or not one.found.is_within:
            where = f"No crossing within {one.sizes[0]:,}-{one.sizes[-1]:,}, {one.measure.short}"
            leader, other = _apart(one)
            lines.setdefault(where, {}).setdefault(leader, []).append(other)
    for where, leaders in lines.items():
        told = "; ".join(f"{leader} {', '.join(others)}" for leader, others in leaders.items())
        parts.append(f"{where}: {told}.")
    return "\n\n".join(parts)


def _names(one: Crossed) -> tuple[str, str]:
    """The methods, the one that is ahead at the largest size last."""
    first, second = (markdown_text(shown_label(point.row)) for point in one.pair)
    return (second, first) if one.ahead is one.pair[0] else (first, second)


def _cells(one: Crossed, found: Crossing) -> list[str]:
    note = "" if found.changes == 1 else f" (the last of {found.changes})"
    return [
        one.measure.short,
        *_names(one),
        f"{found.at:,.0f}{_interval(one)}{note}",
        MISSING if found.within is None else f"{100 * found.within:.0f} %",
        f"{one.questions:,}" if one.questions else MISSING,
    ]


def _apart(one: Crossed) -> tuple[str, str]:
    """The method that is ahead at every size, and of which other; or that the two are equal."""
    other, leader = _names(one)
    if one.found is None:
        return "equal at the largest:", f"{other} and {leader}"
    share = one.found.within
    doubt = f" ({100 * share:.0f} % of resamples cross)" if share else ""
    return f"{leader} ahead of", f"{other}{doubt}"


def _interval(one: Crossed) -> str:
    crossed = one.found
    if crossed is None or crossed.low is None or crossed.high is None:
        return ""
    return f" [{_end(one, crossed.low)}, {_end(one, crossed.high)}]"


def _end(one: Crossed, size: float | None) -> str:
    """A size, or on which side of the measured ones it lies."""
    if size is None:
        return ""
    if isinf(size):
        return f"<{one.sizes[0]:,}" if size < 0 else f">{one.sizes[-1]:,}"
    return f"{size:,.0f}"


def _of_questions(series: Series, points: Sequence[Point], sampled: _Sampled) -> Iterator[Crossed]:
    lines = by_method(points)
    values = {id(point): sampled.values(series, point) for point in points}
    known = [each for each in values.values() if each]
    if not known:
        return
    # The same questions everywhere, else a resample would not be paired.
    ids = sorted(set.intersection(*(set(each) for each in known)))
    have = [point for point in points if values[id(point)]]
    if len(ids) < 2:
        return
    arrays = [np.array([values[id(point)][id_] for id_ in ids], dtype=float).T for point in have]
    drawn = dict(zip(map(id, have), resampled(arrays, sampled.statistic), strict=True))
    told = {id(p): float(sampled.statistic(a)) for p, a in zip(have, arrays, strict=True)}
    for one, other in combinations(lines, 2):
        yield from _pair(
            series, sampled.measure, (lines[one], lines[other]), told, drawn,
            rises=sampled.rises, questions=len(ids),
        )  # fmt: skip


def _of_bytes(series: Series, points: Sequence[Point]) -> Iterator[Crossed]:
    lines = by_method(points)
    told = {id(p): value for p in points if (value := MEGABYTES.value(p)) is not None}
    for one, other in combinations(lines, 2):
        pair = (lines[one], lines[other])
        yield from _pair(series, MEGABYTES, pair, told, {}, rises=False, questions=0)


def _pair(
    series: Series,
    measure: Measure,
    lines: tuple[Sequence[Point], Sequence[Point]],
    told: dict[int, float],
    drawn: dict[int, Floats],
    *,
    rises: bool,
    questions: int,
) -> Iterator[Crossed]:
    """What a measure says of two methods, if both have it at two sizes."""
    first, second = ({p.documents: p for p in line if id(p) in told} for line in lines)
    sizes = tuple(sorted(first.keys() & second.keys()))
    if len(sizes) < 2:
        return
    pairs = [(first[size], second[size]) for size in sizes]
    better = 1 if rises else -1
    leads = better * np.array([told[id(one)] - told[id(other)] for one, other in pairs])
    found = height = several = None
    if sign := np.sign(leads[-1]):
        if drawn:
            several = np.array([drawn[id(one)] - drawn[id(other)] for one, other in pairs])
            several *= sign * better
        found = crossing(sizes, leads * sign, several)
        if found.is_within:
            values = [told[id(one)] for one, _ in pairs]
            height = measure.scale * float(np.interp(np.log(found.at), np.log(sizes), values))
    ends = (_ahead(pairs[0], leads[0]), _ahead(pairs[-1], leads[-1]))
    yield Crossed(series, measure, pairs[-1], *ends, sizes, found, questions, height)


def _ahead(pair: tuple[Point, Point], lead: float) -> Point | None:
    return None if lead == 0 else pair[int(lead < 0)]


def _f1(_: Series, point: Point) -> dict[str, list[float]]:
    runs = point.pool.entry(point.row).runs
    columns = np.array([run.scores["f1"] for run in runs]).T
    return {
        id_: row.tolist()
        for id_, row in zip(runs[0].question_ids, columns, strict=True)
        if np.isfinite(row).all()
    }


def _times(read: Callable[[Latency], Sequence[float | None]]) -> Any:
    def values(series: Series, point: Point) -> dict[str, list[float]]:
        """Of the queries that all seeds timed, where it is known which they were."""
        found: list[dict[str, float]] = []
        for latency in timed(series, point):
            seconds = zip(latency.question_ids, read(latency), strict=False)
            found.append({id_: second for id_, second in seconds if second is not None})
        shared = set.intersection(*map(set, found)) if found else set()
        return {id_: [each[id_] for each in found] for id_ in shared}

    return values


_SAMPLED = (
    _Sampled(F1, _f1, np.mean, rises=True),
    _Sampled(LATENCY, _times(lambda latency: latency.seconds), np.median, rises=False),
    _Sampled(FIRST_TOKEN, _times(lambda latency: latency.first_token), np.median, rises=False),
)
