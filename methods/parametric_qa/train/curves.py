"""Learning curves as data: ``curves.csv`` beside what was trained."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from harness.report import write_csv

Point = tuple[int, str, float, float]
"""Step, what was measured, its value, seconds of training so far."""


@dataclass
class Curves:
    """Learning curves as rows: step, what was measured, its value and the seconds so far."""

    path: Path
    rows: list[Point] = field(default_factory=list)
    before: float = 0.0
    start: float = field(default_factory=monotonic)

    @property
    def seconds(self) -> float:
        """Seconds of training, earlier sessions included."""
        return self.before + monotonic() - self.start

    def add(self, step: int, name: str, value: float) -> None:
        """Note one value."""
        self.rows.append((step, name, round(value, 5), round(self.seconds, 1)))

    def validated(self, step: int, values: Mapping[str, float]) -> None:
        """Note what a validation found, by measure."""
        for name, value in values.items():
            self.add(step, name, value)

    def write(self) -> None:
        """Write all rows so far as CSV."""
        write_csv(self.path, ("step", "measure", "value", "seconds"), self.rows)


def read_curves(path: Path) -> list[Point]:
    """The rows of a file that ``Curves`` wrote."""
    # By Python's own reading of numbers, which gives back what was written to the last digit.
    with path.open(newline="", encoding="utf-8") as file:
        return [
            (int(row["step"]), row["measure"], float(row["value"]), float(row["seconds"]))
            for row in csv.DictReader(file)
        ]
