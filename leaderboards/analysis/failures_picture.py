"""Stacked bars of what became of the questions, one bar a method, one panel a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.figures import GREEN, GREY, ORANGE, RED, SKY, YELLOW
from leaderboards.analysis.failures import Failures
from leaderboards.analysis.reading import (
    CLASSES,
    ERROR,
    MULTI_HOP,
    NOT_RANKED,
    RANKED,
    READING,
    RIGHT,
)
from leaderboards.analysis.series import shown_label
from leaderboards.analysis.style import FONT, heading, legend_below, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {
    RIGHT: GREEN,
    READING: SKY,
    MULTI_HOP: YELLOW,
    RANKED: ORANGE,
    NOT_RANKED: RED,
    ERROR: GREY,
}
_BAR_INCHES = 0.42
_LINE_INCHES = 0.15
_FRAME_INCHES = 0.55
_LEGEND_INCHES = 0.9
_ROOM_FOR_A_NUMBER = 5.0


def draw_failures(panels: Sequence[Sequence[Failures]]) -> Figure:
    """One panel for each sequence of methods on one task; numbers are percentages."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    heights = [_bar_inches(panel) * len(panel) + _FRAME_INCHES for panel in panels]
    figure = Figure(figsize=(8.5, sum(heights) + _LEGEND_INCHES), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axes, panel in zip(grid, panels, strict=True):
        _draw_panel(axes, panel)
    grid[-1].set_xlabel("% of the questions with gold documents", fontsize=FONT)
    shown = [
        kind for kind in CLASSES if any(one.shares[kind].mean for panel in panels for one in panel)
    ]
    patches = [Patch(facecolor=_COLOURS[kind], edgecolor="white") for kind in shown]
    legend_below(figure, patches, shown, 3)
    return figure


def _bar_inches(panel: Sequence[Failures]) -> float:
    """Room for the longest label beside its bar."""
    lines = max(wrapped(shown_label(one.row)).count("\n") + 1 for one in panel)
    return max(_BAR_INCHES, _LINE_INCHES * lines)


def _draw_panel(axes: Axes, panel: Sequence[Failures]) -> None:
    for place, one in enumerate(panel):
        left = 0.0
        for kind in CLASSES:
            share = 100 * one.shares[kind].mean
            if share == 0:
                continue
            axes.barh(place, share, left=left, height=0.78, color=_COLOURS[kind], edgecolor="white")
            if share >= _ROOM_FOR_A_NUMBER:
                middle = left + share / 2
                axes.text(middle, place, f"{share:.1f}", ha="center", va="center", fontsize=FONT)
            left += share
    axes.set_yticks(
        range(len(panel)),
        labels=[wrapped(shown_label(one.row)) for one in panel],
        fontsize=FONT - 1,
        parse_math=False,
    )
    axes.set_ylim(len(panel) - 0.4, -0.6)
    axes.set_xlim(0, 100)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=FONT - 1)
    heading(axes, panel[0].pool.title)
