"""The rows of one task's table, measured once for that table and for the mean over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import NamedTuple

import numpy as np

from harness.fingerprint import fingerprint
from harness.metrics.statistics import (
    Family,
    Flips,
    Interval,
    average,
    average_ci,
    compare_all,
    flip,
    hierarchical_ci,
    letters,
    mean_cis,
    rank_intervals,
    smallest_difference,
)
from leaderboards.collect import Floats
from leaderboards.entries import Entries, Score


class Cell(NamedTuple):
    """A mean over the questions that have the score, its interval over them, and each seed's mean."""

    mean: float
    interval: Interval
    seed_means: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """Cells by metric and label, and the rows that are compared in F1, under random signs.

    ``signs`` is the seed of these signs, of the questions' own, so that tasks are independent.
    """

    entries: Entries
    k: int
    cells: Mapping[str, Mapping[str, Cell]]
    compared: tuple[str, ...]
    signs: int
    flips: Flips | None

    def flipped(self, labels: Sequence[str], *, exhaust: bool) -> Flips:
        """The signs of some rows. ``exhaust``: exact of few questions, as a task of its own is."""
        if self.flips is None:
            raise ValueError("no row of this task is compared")
        if exhaust or not self.flips.exhausted:
            return self.flips.of([self.compared.index(label) for label in labels])
        return flip(_f1(self.entries, labels), seed=self.signs, exhaust=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the F1 of rows says of them together, each by label."""

    p_values: Mapping[str, float]
    ranks: Mapping[str, tuple[int, int]]
    letters: Mapping[str, str]
    smallest_difference: float | None


def measure(entries: Entries, k: int) -> Measured:
    """Means and intervals of EM, F1 and the retrieval scores at ``k``, and the signs for F1."""
    metrics = ("em", "f1", f"recall@{k}", f"all_gold@{k}", "recall_read")
    compared = tuple(label for label, entry in sorted(entries.items()) if not entry.is_apart)
    task = next(iter(entries.values())).runs[0].manifest.config.task
    signs = int(fingerprint(task.questions_fingerprint)[:8], 16)
    return Measured(
        entries=entries,
        k=k,
        cells={metric: _cells(entries, metric) for metric in metrics},
        compared=compared,
        signs=signs,
        flips=flip(_f1(entries, compared), seed=signs) if compared else None,
    )


def score(tasks: Sequence[Measured], label: str, metric: str) -> Score | None:
    """The average over tasks, each counting the same; None unless all have the score."""
    cells = [task.cells[metric][label] for task in tasks if label in task.cells[metric]]
    if len(cells) < len(tasks):
        return None
    mean = sum(cell.mean for cell in cells) / len(cells)
    seeds = {task.entries[label].seeds for task in tasks}
    if len(seeds) > 1:  # seeds of one task are not those of another
        intervals = [hierarchical_ci(cell.interval, cell.seed_means) for cell in cells]
        return Score(mean, average_ci([cell.mean for cell in cells], intervals))
    interval = average_ci([cell.mean for cell in cells], [cell.interval for cell in cells])
    by_seed = [
        sum(means) / len(cells) for means in zip(*(c.seed_means for c in cells), strict=True)
    ]
    std = stdev(by_seed) if len(by_seed) > 1 else None
    return Score(mean, hierarchical_ci(interval, by_seed), std)


def compare_rows(tasks: Sequence[Measured], labels: Sequence[str]) -> Comparison:
    """Compare the rows in their F1 averaged over tasks; those that stand apart take no part."""
    names = [label for label in labels if all(label in task.compared for task in tasks)]
    if not names:
        return Comparison({}, {}, {}, None)
    alone = len(tasks) == 1
    flips = average([task.flipped(names, exhaust=alone) for task in tasks])
    family: Family = compare_all(flips)
    return Comparison(
        p_values=dict(zip(names, map(float, family.best), strict=True)),
        ranks=dict(zip(names, rank_intervals(family, flips.means), strict=True)),
        letters=dict(zip(names, letters(family, flips.means), strict=True)),
        smallest_difference=smallest_difference(flips, family),
    )


def _f1(entries: Entries, labels: Sequence[str]) -> Floats:
    return np.array([entries[label].values("f1") for label in labels])


def _cells(entries: Entries, metric: str) -> dict[str, Cell]:
    """By label, of the rows that have this score for any question."""
    groups: dict[bytes, list[str]] = {}
    values: dict[str, Floats] = {}
    for label, entry in entries.items():
        found = entry.values(metric)
        if found is not None and not np.isnan(found).all():
            values[label] = found
            groups.setdefault(np.isnan(found).tobytes(), []).append(label)
    cells = {}
    for labels in groups.values():
        known = ~np.isnan(values[labels[0]])
        rows = np.array([values[label][known] for label in labels])
        for label, row, interval in zip(labels, rows, mean_cis(rows), strict=True):
            seeds = (run.scores[metric][known].mean() for run in entries[label].runs)
            cells[label] = Cell(float(row.mean()), interval, tuple(map(float, seeds)))
    return cells
