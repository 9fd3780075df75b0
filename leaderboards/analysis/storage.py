"""Storage and what it buys: F1 against megabytes for a thousand documents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leaderboards.analysis.series import Pool, shown_label
from leaderboards.analysis.style import FONT, heading, legend_below, legend_inches, looks, nudged
from leaderboards.floors import Floor
from leaderboards.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 2
_TICKS = (1.0, 2.0, 5.0)
_SHARED = "hollow: with the shared parameters, spread over the documents"


@dataclass(frozen=True, slots=True)
class Stored:
    """A method's storage, in MB (10^6 bytes) for 1,000 documents."""

    pool: Pool
    row: Row
    own: float
    shared_mb: float
    """Megabytes that do not grow with the documents."""
    documents: int | None

    @property
    def with_shared(self) -> float | None:
        """The method's own storage and the shared parameters spread over the documents."""
        if not self.shared_mb:
            return self.own
        return None if not self.documents else self.own + 1000 * self.shared_mb / self.documents


def find_stored(pool: Pool) -> tuple[list[Stored], list[str]]:
    """Storage of the pool's methods, and the labels of those that did not measure it."""
    stored, unknown = [], []
    for row in pool.rows:
        own = row.cost.storage_mb_per_1000
        if own is None:
            unknown.append(row.label)
        else:
            shared = row.cost.storage_shared_mb or 0.0
            stored.append(Stored(pool, row, own, shared, pool.documents or _documents(pool, row)))
    return stored, unknown


def storage_records(stored: Iterable[Stored]) -> Iterator[dict[str, Any]]:
    """One record a method and corpus."""
    for one in stored:
        row = one.row
        yield {
            **one.pool.record(),
            "method": row.label,
            "oracle": int(row.oracle),
            "seeds": " ".join(map(str, row.seeds)),
            "questions": one.pool.questions,
            "f1": row.f1.mean,
            "f1_low": row.f1.interval.low,
            "f1_high": row.f1.interval.high,
            "mb_per_1000_documents": one.own,
            "shared_mb": one.shared_mb,
            "mb_per_1000_documents_with_shared": one.with_shared,
        }


def draw_storage(
    panels: Sequence[Sequence[Stored]],
    labels: Sequence[str],
    floors: Sequence[Sequence[Floor]] = (),
) -> Figure:
    """One panel for each sequence of methods on one task; ``labels`` are all that may occur.

    ``floors`` are those of each panel's corpus, drawn as lines.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    style = looks(labels)
    shown = {one.row.label: shown_label(one.row) for panel in panels for one in panel}
    names = [label for label in labels if label in shown]
    texts = [shown[label] for label in names]
    handles = [_handle(*style[label]) for label in names]
    if any(one.shared_mb for panel in panels for one in panel):
        handles.append(Line2D([], [], color="grey", marker="o", markerfacecolor="white", ls=":"))
        texts.append(_SHARED)
    height = 3.2 * lines + legend_inches(texts, 2)
    figure = Figure(figsize=(max(6.5, 4.6 * columns), height), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, panel, known in zip(grid, panels, floors or [()] * len(panels), strict=False):
        _draw_panel(axes, panel, style, known)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    legend_below(figure, handles, texts, 2)
    return figure


def _draw_panel(
    axes: Axes,
    panel: Sequence[Stored],
    style: dict[str, tuple[str, str]],
    floors: Sequence[Floor],
) -> None:
    _scale(axes, panel, floors)
    _draw_floors(axes, floors)
    for one in panel:
        colour, marker = style[one.row.label]
        # Equal storage, as of a method and its controls, would hide all bars but one.
        same = [other.row.label for other in panel if f"{other.own:.2g}" == f"{one.own:.2g}"]
        where = nudged(axes, same.index(one.row.label), len(same), 5)
        f1, (low, high) = 100 * one.row.f1.mean, one.row.f1.interval
        if one.shared_mb and one.with_shared is not None:
            axes.plot(
                [one.own, one.with_shared], [f1, f1], color=colour, ls=":", lw=1, transform=where
            )
            axes.plot(
                one.with_shared, f1, marker, color=colour, markerfacecolor="white", transform=where
            )
        bars = [[f1 - 100 * low], [100 * high - f1]]
        axes.errorbar(
            one.own, f1, bars, fmt=marker, color=colour, capsize=2, ms=6, lw=1, transform=where
        )
    # Marks that are moved sideways do not count in automatic limits.
    axes.set_ylim(0, 105 * max(one.row.f1.interval.high for one in panel))
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.set_xlabel("MB per 1,000 documents", fontsize=FONT)
    axes.set_ylabel("F1 [95% CI], %", fontsize=FONT)
    axes.tick_params(labelsize=FONT - 1)
    heading(axes, panel[0].pool.title)


def _draw_floors(axes: Axes, floors: Sequence[Floor]) -> None:
    """Dotted lines; a name is left out where it would stand on another."""
    last = 0.0
    for floor in sorted(floors, key=lambda floor: floor.mb_per_1000):
        axes.axvline(floor.mb_per_1000, color="grey", ls=":", lw=1)
        if floor.mb_per_1000 > 1.1 * last:
            last = floor.mb_per_1000
            axes.text(
                last, 0.98, floor.name, color="grey", fontsize=FONT - 2, rotation=90,
                ha="right", va="top", transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def _scale(axes: Axes, panel: Sequence[Stored], floors: Sequence[Floor]) -> None:
    """A logarithmic x axis; with a linear piece at the left for methods that store nothing."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, SymmetricalLogLocator

    values = [x for one in panel for x in (one.own, one.with_shared) if x]
    values += [floor.mb_per_1000 for floor in floors if floor.mb_per_1000]
    smallest, largest = min(values, default=1.0), max(values, default=1.0)
    if any(one.own == 0 for one in panel):
        unit = 10.0 ** math.floor(math.log10(smallest))
        axes.set_xscale("symlog", linthresh=unit, linscale=0.4)
        axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=unit, subs=_TICKS))
        axes.set_xlim(-0.3 * unit, 2 * largest)
    else:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=_TICKS))
        axes.set_xlim(smallest / 2, 2 * largest)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _handle(colour: str, marker: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker=marker, ls="none")


def _documents(pool: Pool, row: Row) -> int | None:
    found = [run.performance.storage for run in pool.entry(row).runs]
    return max((storage.documents for storage in found if storage), default=None)
