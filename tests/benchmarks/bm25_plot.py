"""BM25's cost against the size of a corpus, drawn.

Run as ``python -m tests.benchmarks.bm25_plot FILE.json FOLDER``, of what ``python -m
tests.benchmarks.bm25 --out FILE.json`` measured. Dashed lines go on from the largest size in
proportion to the passages, up to FlashRAG's corpus; what memory takes stays.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.figures import BLUE, GREY, ORANGE, save

FLASHRAG = 21_015_324
"""Passages of FlashRAG's Wikipedia, which nothing here was run on."""
Size = Mapping[str, Any]


@dataclass(frozen=True)
class Panel:
    """A quantity of each size, ours and bm25s' where it has one; it grows in proportion or not."""

    title: str
    ours: Callable[[Size], float]
    bm25s: Callable[[Size], float] | None = None
    grows: bool = True

    def expected(self, largest: Size) -> float:
        """Ours for FlashRAG's passages, from the largest size measured."""
        return self.ours(largest) * (FLASHRAG / largest["passages"] if self.grows else 1)


PANELS = (
    Panel(
        "building, s of a processor",
        lambda size: float(size["build"]["cpu_seconds"]),
        lambda size: float(size["bare"]["cpu_seconds"]),
    ),
    Panel(
        "peak memory of building, MB",
        lambda size: size["build"]["peak_bytes"] / 1e6,
        lambda size: size["bare"]["peak_bytes"] / 1e6,
        grows=False,
    ),
    Panel("index on disk, MB", lambda size: size["build"]["index_bytes"] / 1e6),
    Panel(
        "a query, ms of a processor",
        lambda size: 1e3 / size["search"]["ours_per_cpu_second"],
        lambda size: 1e3 / size["search"]["bm25s_per_cpu_second"],
    ),
)


def draw(sizes: list[Size], folder: Path) -> tuple[Path, ...]:
    """Write ``folder/bm25.png`` and ``.svg``; give their paths. Sizes rise."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    passages = [size["passages"] for size in sizes]
    for axes, panel in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        ours = [panel.ours(size) for size in sizes]
        axes.loglog(passages, ours, "o-", color=BLUE, label="memory-harness")
        ends = [ours[-1], panel.expected(sizes[-1])]
        axes.loglog([passages[-1], FLASHRAG], ends, "--", color=BLUE)
        axes.annotate(
            f"{ends[1]:,.0f} ", (FLASHRAG, ends[1]), (0, -4), textcoords="offset points",
            ha="right", va="top",
        )  # fmt: skip
        if panel.bm25s is not None:
            bare = [panel.bm25s(size) for size in sizes]
            axes.loglog(passages, bare, "s-", color=ORANGE, label="bm25s, given token ids")
        axes.axvline(FLASHRAG, color=GREY, linewidth=0.8)
        axes.set(title=panel.title, xlabel="passages")
        axes.legend()
    return save(figure, folder, "bm25")


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(*draw(found["sizes"], Path(sys.argv[2])), sep="\n")
