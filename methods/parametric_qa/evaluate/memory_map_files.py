"""A map of memories as files: the picture, where every document lies, how dimensions are used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import figures
from harness.figures import save
from harness.files import write_json, writing
from harness.report import write_csv

if TYPE_CHECKING:
    from methods.parametric_qa.evaluate.memory_map import MemoryMap

COLOURED = 8
"""Titles that get a colour of their own: those with most documents."""
COLOURS = (
    figures.ORANGE, figures.SKY, figures.GREEN, figures.YELLOW, figures.BLUE, figures.RED,
    figures.PINK, figures.BLACK,
)  # fmt: skip
NAMES = {"tsne": "t-SNE", "umap": "UMAP"}


def save_map(found: MemoryMap, folder: Path, escape: Callable[[str], str]) -> list[Path]:
    """Write map.csv, dimensions.csv, summary.json and the picture; returns the paths.

    ``escape`` makes text from a corpus safe in a spreadsheet.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    rows = (
        (escape(id_), escape(title), f"{x:.4f}", f"{y:.4f}")
        for id_, title, (x, y) in zip(found.ids, found.titles, found.points, strict=True)
    )
    write_csv(folder / "map.csv", ("id", "title", "x", "y"), rows)
    share = np.square(found.spread) / np.square(found.spread).sum()
    dimensions = (
        (number, f"{std:.6g}", f"{part:.6g}", f"{together:.6g}")
        for number, (std, part, together) in enumerate(
            zip(found.spread, share, share.cumsum(), strict=True)
        )
    )
    header = ("dimension", "std", "share_of_variance", "cumulative_share")
    write_csv(folder / "dimensions.csv", header, dimensions)
    same = {k: None if np.isnan(v) else round(v, 4) for k, v in found.same_title.items()}
    write_json(folder / "summary.json", {"facts": found.facts, "same_title": same})
    pictures = save(draw(found), folder, "map")
    return [folder / n for n in ("map.csv", "dimensions.csv", "summary.json")] + list(pictures)


def draw(found: MemoryMap) -> Any:
    """One dot a document; the articles with most documents in colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 6.0), layout="constrained")
    axes = figure.add_subplot()
    titles = np.array(found.titles)
    common = [t for t, n in Counter(found.titles).most_common(COLOURED) if n > 1]
    rest = ~np.isin(titles, common)
    axes.scatter(
        found.points[rest, 0], found.points[rest, 1], s=4, color=figures.GREY, linewidths=0
    )
    for title, colour in zip(common, COLOURS, strict=False):
        own = found.points[titles == title]
        label = f"{_short(title)} ({len(own)})"
        axes.scatter(
            own[:, 0],
            own[:, 1],
            s=26,
            color=colour,
            label=label,
            edgecolors="white",
            linewidths=0.5,
        )
    facts = found.facts
    axes.set_title(
        f"{NAMES[facts['projection']]} of {facts['documents']:,} memories: {facts['task']}, "
        f"{facts['model']}",
        fontsize=10,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    if common:
        axes.legend(title="article (documents)", fontsize=8, title_fontsize=8, loc="best")
    return figure


def _short(title: str) -> str:
    # Two dollar signs would be read as a formula.
    text = title if len(title) <= 32 else f"{title[:31]}…"
    return text.replace("$", r"\$")
