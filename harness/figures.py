"""Pictures on disk, each as PNG and as SVG: the same data give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import atomic_file, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
)  # fmt: skip
"""Okabe and Ito's colours, which most colour-blind readers can tell apart."""
GREY = "#BBBBBB"
# The writers' own notes: a date, and versions of libraries.
_METADATA = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, ...]:
    """Write ``folder/name.png`` and ``folder/name.svg``, cut to what is drawn; give their paths.

    Makes the folder. Raises InputError where nothing can be written.
    """
    import matplotlib

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, metadata in _METADATA.items():
        path = folder / f"{name}.{kind}"
        # Ids in an SVG are random without a salt.
        with matplotlib.rc_context({"svg.hashsalt": name}), atomic_file(path) as file:
            figure.savefig(file, format=kind, dpi=DPI, bbox_inches="tight", metadata=metadata)
        paths.append(path)
    return tuple(paths)
