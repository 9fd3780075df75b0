"""Lines over the number of documents: one row of panels a task, one panel a measure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leaderboards.analysis.scaling import MEASURES, Measure, Point, by_method
from leaderboards.analysis.series import shown_label
from leaderboards.analysis.style import FONT, heading, legend_below, legend_inches, looks, nudged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABEL_DISTANCE = 0.16
_WIDE_RANGE = 4.0
"""Sizes that differ more than so many times stand on a logarithmic axis."""


def draw_scaling(tasks: Sequence[Sequence[Point]], labels: Sequence[str]) -> Figure:
    """A row of panels for the points of each task; ``labels`` are all that may occur."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.lines import Line2D

    style = looks(labels)
    shown = {p.row.label: shown_label(p.row) for points in tasks for p in points}
    names = [label for label in labels if label in shown]
    texts = [shown[label] for label in names]
    height = 2.9 * len(tasks) + legend_inches(texts, 3)
    layout = ConstrainedLayoutEngine(w_pad=0.1)
    figure = Figure(figsize=(3.3 * len(MEASURES), height), layout=layout)
    grid = figure.subplots(len(tasks), len(MEASURES), squeeze=False)
    for panels, points in zip(grid, tasks, strict=True):
        for axes, measure in zip(panels, MEASURES, strict=True):
            _draw_panel(axes, points, measure, style)
        group = points[0].pool.group
        name = (
            f"{group.task}, n = {points[0].pool.questions:,}, {group.manifest.config.model.called}"
        )
        heading(panels[0], name)
    handles: list[Any] = [
        Line2D([], [], color=style[name][0], marker=style[name][1], ms=5, lw=1.2) for name in names
    ]
    legend_below(figure, handles, texts, 3)
    return figure


def _draw_panel(
    axes: Axes, points: Sequence[Point], measure: Measure, style: Mapping[str, tuple[str, str]]
) -> None:
    lines = {
        label: known
        for label, line in by_method(points).items()
        if (known := [(p, value) for p in line if (value := measure.value(p)) is not None])
    }
    highest = 0.0
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
        highest = max(highest, float(ends.max()))
    _scale(axes, sorted({point.documents for point in points}))
    # Marks that are moved sideways do not count in automatic limits.
    axes.set_ylim(0, 1.05 * highest or 1)
    axes.set_ylabel(measure.name, fontsize=FONT)
    axes.set_xlabel("documents", fontsize=FONT)
    axes.tick_params(labelsize=FONT - 1)
    axes.grid(alpha=0.25)
    if not lines:
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes, fontsize=FONT)


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
