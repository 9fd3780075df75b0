"""The rows of one task's table, measured once for that table and for the mean over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import NamedTuple

import numpy as np

from harness.fingerprint import fingerprint
from harness.metrics import shipped
from harness.metrics.ir import is_ir_metric
from harness.metrics.statistics import (
    Family,
    Flips,
    Interval,
    average,
    average_ci,
    average_cis,
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
    """Scores (n,) of the questions that have one, the interval of their mean, each seed's mean."""

    values: Floats
    interval: Interval
    seed_means: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over questions, each averaged over seeds."""
        return float(self.values.mean())


@dataclass(frozen=True, slots=True)
class Measured:
    """Cells by metric and label, and the rows that are compared, under random signs.

    ``tested`` is the metric that they are compared in. ``signs`` is the seed of these signs, of the
    questions' own, so that tasks are independent.
    """

    entries: Entries
    k: int
    cells: Mapping[str, Mapping[str, Cell]]
    tested: str
    compared: tuple[str, ...]
    signs: int
    flips: Flips | None

    def flipped(self, labels: Sequence[str], *, exhaust: bool) -> Flips:
        """The signs of some rows. ``exhaust``: exact of few questions, as a task of its own is."""
        if self.flips is None:
            raise ValueError("no row of this task is compared")
        if exhaust or not self.flips.exhausted:
            return self.flips.of([self.compared.index(label) for label in labels])
        values = _values(self.entries, labels, self.tested)
        return flip(values, seed=self.signs, exhaust=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the tested scores of rows say of them together, each by label."""

    p_values: Mapping[str, float]
    ranks: Mapping[str, tuple[int, int]]
    letters: Mapping[str, str]
    smallest_difference: float | None


def measure(entries: Entries, k: int, tested: str = "f1") -> Measured:
    """Means and intervals of EM, F1 and the retrieval scores at ``k``, and rows under signs.

    Rows are compared in ``tested``, over the questions that have it in every row that does.
    """
    metrics = ("em", "f1", f"recall@{k}", f"all_gold@{k}", "recall_read", *_of_plugins(entries))
    compared = tuple(
        label
        for label, entry in sorted(entries.items())
        if not entry.is_apart and entry.mean(tested) is not None
    )
    task = next(iter(entries.values())).runs[0].manifest.config.task
    signs = int(fingerprint(task.questions_fingerprint)[:8], 16)
    return Measured(
        entries=entries,
        k=k,
        cells={metric: _cells(entries, metric) for metric in metrics},
        tested=tested,
        compared=compared,
        signs=signs,
        flips=flip(_values(entries, compared, tested), seed=signs) if compared else None,
    )


def _of_plugins(entries: Entries) -> list[str]:
    """Scores that a plug-in brings and a task's card names."""
    named = {x for entry in entries.values() for run in entry.runs for x in run.manifest.metrics}
    return sorted(name for name in named if name not in shipped() and not is_ir_metric(name))


def scores(tasks: Sequence[Measured], labels: Sequence[str], metric: str) -> dict[str, Score]:
    """The averages over tasks, each counting the same, of the rows that all have the score."""
    rows = {
        label: [task.cells[metric][label] for task in tasks]
        for label in labels
        if all(label in task.cells[metric] for task in tasks)
    }
    intervals = _over_tasks(rows)
    return {
        label: _score(cells, intervals[label], [task.entries[label].seeds for task in tasks])
        for label, cells in rows.items()
    }


def _over_tasks(rows: Mapping[str, Sequence[Cell]]) -> dict[str, Interval]:
    """Intervals over questions, rows with as many of them at once."""
    found = {label: cells[0].interval for label, cells in rows.items() if len(cells) == 1}
    alike: dict[tuple[int, ...], list[str]] = {}
    for label, cells in rows.items():
        if len(cells) > 1:
            alike.setdefault(tuple(cell.values.size for cell in cells), []).append(label)
    for sizes, labels in alike.items():
        tasks = [np.array([rows[x][task].values for x in labels]) for task in range(len(sizes))]
        found |= dict(zip(labels, average_cis(tasks), strict=True))
    return found


def _score(cells: Sequence[Cell], over_questions: Interval, seeds: Sequence[object]) -> Score:
    mean = sum(cell.mean for cell in cells) / len(cells)
    if len(set(seeds)) > 1:  # seeds of one task are not those of another
        intervals = [hierarchical_ci(cell.interval, cell.seed_means) for cell in cells]
        return Score(mean, average_ci([cell.mean for cell in cells], intervals))
    by_seed = [
        sum(means) / len(cells) for means in zip(*(c.seed_means for c in cells), strict=True)
    ]
    std = stdev(by_seed) if len(by_seed) > 1 else None
    return Score(mean, hierarchical_ci(over_questions, by_seed), std)


def compare_rows(tasks: Sequence[Measured], labels: Sequence[str]) -> Comparison:
    """Compare the rows in their scores averaged over tasks; who stands apart takes no part."""
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


def _values(entries: Entries, labels: Sequence[str], metric: str) -> Floats:
    rows = np.array([entries[label].values(metric) for label in labels])
    known: Floats = rows[:, ~np.isnan(rows).any(axis=0)]
    return known


def _cells(entries: Entries, metric: str) -> dict[str, Cell]:
    """By label, of the rows that have this score for any question."""
    values, seed_means = {}, {}
    for label, entry in entries.items():
        found = entry.values(metric)
        if found is not None and not np.isnan(found).all():
            known = ~np.isnan(found)
            values[label] = found[known]
            seeds = (run.scores[metric][known].mean() for run in entry.runs)
            seed_means[label] = tuple(map(float, seeds))
    alike: dict[int, list[str]] = {}
    for label, row in values.items():
        alike.setdefault(row.size, []).append(label)
    intervals: dict[str, Interval] = {}
    for labels in alike.values():
        bounds = mean_cis([values[label] for label in labels])
        intervals |= dict(zip(labels, bounds, strict=True))
    return {label: Cell(values[label], intervals[label], seed_means[label]) for label in values}
