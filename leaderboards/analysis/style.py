"""Styles of methods in pictures: colours that colour-blind readers can tell apart, markers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from harness.figures import BLACK, BLUE, GREEN, ORANGE, PINK, RED, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

# Without the palette's yellow, which is too pale for a line on white.
_COLOURS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK)
# Their number and that of the colours have no common factor: 56 pairs before one comes again.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LABEL_WIDTH = 38
_LINE_INCHES = 0.15
FONT = 9


def looks(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each label."""
    return {
        label: (_COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)])
        for i, label in enumerate(labels)
    }


def wrapped(label: str, width: int = _LABEL_WIDTH) -> str:
    """A label on as many lines as it needs: what tells variants apart may stand at its end."""
    return "\n".join(wrap(label, width))


def nudged(axes: Axes, place: int, of: int, points: float) -> Transform:
    """The axes' data, moved sideways so that marks at one x stand beside each other."""
    from matplotlib.transforms import ScaledTranslation

    moved = (place - (of - 1) / 2) * points / 72
    figure: Any = axes.figure
    return axes.transData + ScaledTranslation(moved, 0, figure.dpi_scale_trans)


def heading(axes: Axes, text: str) -> None:
    """Set a title, taken literally."""
    axes.set_title(wrapped(text, 60), fontsize=FONT, loc="left", parse_math=False)


def legend_inches(labels: Sequence[str], columns: int) -> float:
    """Height of ``legend_below``: its tallest column, and room around it."""
    lines = [wrapped(label).count("\n") + 1.4 for label in labels]
    rows = -(-len(lines) // columns)
    return 0.2 + _LINE_INCHES * max(sum(lines[i : i + rows]) for i in range(0, len(lines), rows))


def legend_below(
    figure: Figure, handles: Iterable[Any], labels: Sequence[str], columns: int
) -> None:
    """One legend for all panels, under them, its texts taken literally."""
    legend = figure.legend(
        list(handles),
        [wrapped(label) for label in labels],
        loc="outside lower center",
        ncols=min(columns, len(labels)),
        fontsize=FONT - 1,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
