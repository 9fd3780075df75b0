"""Lines over the number of documents: rows of panels a task, one panel a measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leaderboards.analysis.crossings import Crossed
from leaderboards.analysis.scaling import MEASURES, Measure, Point, by_method
from leaderboards.analysis.series import shown_label
from leaderboards.analysis.style import (
    FONT,
    heading,
    legend_below,
    legend_inches,
    looks,
    nudged,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4
_LABEL_DISTANCE = 0.16
_WIDE_RANGE = 4.0
"""Sizes that differ more than so many times stand on a logarithmic axis."""
_WIDE_VALUES = 30.0
"""So do seconds and bytes."""


def draw_scaling(
    tasks: Sequence[Sequence[Point]], labels: Sequence[str], crossings: Sequence[Crossed] = ()
) -> Figure:
    """Rows of panels for the points of each task; ``labels`` are all that may occur.

    A measure that no point has is left out. Crosses are the ``crossings`` that are told.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D

    style = looks(labels)
    shown = {p.row.label: shown_label(p.row) for points in tasks for p in points}
    names = [label for label in labels if label in shown]
    texts = [shown[label] for label in names]
    measures = [m for m in MEASURES if any(m.value(p) is not None for ps in tasks for p in ps)]
    columns = min(_COLUMNS, len(measures))
    lines = -(-len(measures) // columns)
    handles: list[Any] = [
        Line2D([], [], color=style[name][0], marker=style[name][1], ms=5, lw=1.2) for name in names
    ]
    if any(one.is_told for one in crossings):
        handles.append(Line2D([], [], color="grey", marker="x", ms=6, lw=0.8))
        texts.append("crossing of two methods, 95% CI")
    height = 2.9 * lines * len(tasks) + legend_inches(texts, 3)
    layout = ConstrainedLayoutEngine(w_pad=0.1)
    figure = Figure(figsize=(3.3 * columns, height), layout=layout)
    grid = figure.subplots(lines * len(tasks), columns, squeeze=False)
    for place, points in enumerate(tasks):
        panels = grid[place * lines : (place + 1) * lines].ravel()
        for axes, measure in zip(panels, measures, strict=False):
            _draw_panel(axes, points, measure, style)
            _draw_crossings(axes, points, measure, crossings)
        for axes in panels[len(measures) :]:
            axes.set_visible(False)
        heading(panels[0], _of_what(points))
    legend_below(figure, handles, texts, 3)
    return figure


def _of_what(points: Sequence[Point]) -> str:
    pool = points[0].pool
    hardware = pool.group.hardware.text
    model = pool.group.manifest.config.model.called
    return f"{pool.group.task}, n = {pool.questions:,}, {model}, {hardware}"


def _draw_crossings(
    axes: Axes, points: Sequence[Point], measure: Measure, crossings: Sequence[Crossed]
) -> None:
    pools = [point.pool for point in points]
    for one in crossings:
        if one.measure is measure and one.is_told and one.pair[0].pool in pools:
            assert one.found is not None and one.height is not None  # it is told
            ends = (one.found.low or one.found.at, one.found.high or one.found.at)
            axes.plot(ends, [one.height] * 2, color="grey", lw=0.8, zorder=1)
            axes.plot(one.found.at, one.height, "x", color="grey", ms=6)


def _draw_panel(
    axes: Axes, points: Sequence[Point], measure: Measure, style: Mapping[str, tuple[str, str]]
) -> None:
    lines = {
        label: known
        for label, line in by_method(points).items()
        if (known := [(p, value) for p in line if (value := measure.value(p)) is not None])
    }
    lowest = highest = 0.0
    for place, (label, line) in enumerate(lines.items()):
        colour, marker = style[label]
        xs, ys = [point.documents for point, _ in line], np.array([value for _, value in line])
        ends = np.array([measure.ends(point, value) for point, value in line]).T
        axes.errorbar(
            xs,
            ys,
            np.abs(ends - ys) if measure.interval else None,
            color=colour,
            marker=marker,
            ms=5,
            lw=1.2,
            elinewidth=0.8,
            capsize=2,
            transform=nudged(axes, place, len(lines), 3 if measure.interval else 0),
        )
        lowest, highest = min(lowest, float(ends.min())), max(highest, float(ends.max()))
    _scale(axes, sorted({point.documents for point in points}))
    # Marks that are moved sideways do not count in automatic limits.
    axes.set_ylim(1.05 * lowest, 1.05 * highest or 1)
    _scale_values(axes, [value for line in lines.values() for _, value in line], measure)
    axes.set_ylabel(wrapped(measure.name), fontsize=FONT)
    axes.set_xlabel("documents", fontsize=FONT)
    axes.tick_params(labelsize=FONT - 1)
    axes.grid(alpha=0.25)
    if not lines:
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes, fontsize=FONT)


def _scale_values(axes: Axes, values: Sequence[float], measure: Measure) -> None:
    """Seconds and bytes of very different methods on a logarithmic axis, with a place for 0."""
    known = [value for value in values if value > 0]
    if measure.interval or not known or max(known) < _WIDE_VALUES * min(known):
        return
    axes.set_yscale("symlog", linthresh=min(known), linscale=0.3)
    axes.set_ylim(-0.1 * min(known), 2 * max(known))


def _scale(axes: Axes, sizes: Sequence[int]) -> None:
    """Ticks at the sizes themselves; one too near its right neighbour has no number."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    wide = sizes[-1] / sizes[0] >= _WIDE_RANGE
    axes.set_xscale("log" if wide else "linear")
    places = [math.log(size) if wide else float(size) for size in sizes]
    span = places[-1] - places[0]
    names: list[str] = []
    last = math.inf
    for size, place in zip(reversed(sizes), reversed(places), strict=True):
        is_clear = last - place >= _LABEL_DISTANCE * span
        names.insert(0, f"{size:,}" if is_clear else "")
        last = place if is_clear else last
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_major_formatter(FixedFormatter(names))
    axes.xaxis.set_minor_locator(NullLocator())
    margin = 0.08 * span
    ends = (places[0] - margin, places[-1] + margin)
    axes.set_xlim(*(math.exp(end) if wide else end for end in ends))
