"""Rows of runs: seeds joined, intervals, and the top tier of a family of methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import stdev
from typing import Any

import numpy as np

from harness.errors import InputError
from harness.metrics.statistics import Interval, average_ci, mean_cis, proportion_cis, versus_best
from harness.runs.external import External
from harness.runs.manifest import Hardware
from leaderboards.collect import Floats, Run
from leaderboards.cost import Cost, average_cost, row_cost

ALPHA = 0.05
DEFAULT_K = 5


@dataclass(frozen=True, slots=True)
class Score:
    """A mean in [0, 1] with its 95% interval over questions; ``std`` is over several seeds."""

    mean: float
    interval: Interval
    std: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """The runs of one method on one task: the same settings, each with another seed."""

    label: str
    runs: tuple[Run, ...]

    @property
    def oracle(self) -> bool:
        """Whether the method is shown gold."""
        return any(run.manifest.method_card.oracle for run in self.runs)

    @property
    def external(self) -> External | None:
        """Where results came from that another program made; None for runs."""
        return self.runs[0].manifest.external

    @property
    def is_apart(self) -> bool:
        """Whether it takes no part in the comparison: shown gold, or of no known corpus."""
        return self.oracle or (self.external is not None and self.external.corpus != "same")

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in rising order."""
        return tuple(run.manifest.config.seed for run in self.runs)

    def values(self, metric: str) -> Floats | None:
        """Per-question scores (n,) averaged over seeds; NaN or None where there are none."""
        arrays = [run.scores.get(metric) for run in self.runs]
        known = [array for array in arrays if array is not None]
        return np.mean(known, axis=0) if len(known) == len(arrays) else None

    def mean(self, metric: str) -> float | None:
        """Mean over the questions that have this score."""
        values = self.values(metric)
        known = values[~np.isnan(values)] if values is not None else np.empty(0)
        return float(known.mean()) if known.size else None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    ``recall`` and ``all_gold`` are of the ranking, at the table's k, ``recall_read`` of what was
    read; None where nothing is retrieved and, for ``all_gold``, where any gold document will do.
    ``p_value`` compares F1 with the best of the table, Holm-adjusted; None for an oracle, which
    takes no part. ``top`` tells that the method is not significantly below the best. ``errors`` are
    answers that count as wrong, ``failures`` the same by kind where it is known, ``unanswered``
    questions whose server failed, ``retries`` requests sent again, each summed over the runs.
    ``external`` is the program that made results that are no run.
    """

    label: str
    method: str
    title: str
    params: Mapping[str, Any]
    oracle: bool
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]
    em: Score
    f1: Score
    recall: Score | None
    all_gold: Score | None
    recall_read: Score | None
    means: Mapping[str, float | None]
    errors: int
    failures: Mapping[str, int]
    unanswered: int
    retries: int
    cost: Cost
    p_value: float | None = None
    top: bool = False
    external: str = ""


Entries = Mapping[str, Entry]


def make_entries(runs: Mapping[str, Sequence[Run]]) -> dict[str, Entry]:
    """Join the seeds of each label; all runs must be over the same questions."""
    entries = {}
    first: Run | None = None
    for label, members in sorted(runs.items()):
        ordered = tuple(sorted(members, key=lambda run: run.manifest.config.seed))
        for one, other in pairwise(ordered):
            if one.manifest.config.seed == other.manifest.config.seed:
                raise InputError(
                    f"{one.folder} and {other.folder}: the same run twice; remove one of them"
                )
        for run in ordered:
            first = first or run
            if run.question_ids != first.question_ids:
                raise InputError(
                    f"{run.folder}: other question ids than {first.folder} under the same "
                    "questions_fingerprint; run the older one again"
                )
        entries[label] = Entry(label, ordered)
    return entries


def make_rows(
    tasks: Sequence[Entries], hardware: Sequence[Hardware], k: int = DEFAULT_K
) -> list[Row]:
    """Rows over the labels that all ``tasks`` have, best F1 first; means are over tasks.

    ``k`` is the cut-off of the retrieval scores. ``hardware[i]`` is the hardware whose timings
    count for ``tasks[i]``.
    """
    labels = sorted(set.intersection(*(set(entries) for entries in tasks)))
    if not labels:
        return []
    em, f1 = (_scores(tasks, labels, metric) for metric in ("em", "f1"))
    pvalues = versus_best(
        {x: _pooled(tasks, x) for x in labels if not any(entries[x].is_apart for entries in tasks)}
    )
    rows = [
        _row([entries[x] for entries in tasks], hardware, em[x], f1[x], pvalues.get(x), k)
        for x in labels
    ]
    return sorted(rows, key=lambda row: (-row.f1.mean, row.label))


def _row(
    entries: Sequence[Entry],
    hardware: Sequence[Hardware],
    em: Score,
    f1: Score,
    p_value: float | None,
    k: int,
) -> Row:
    runs = [run for entry in entries for run in entry.runs]
    manifest = runs[0].manifest
    costs = [row_cost(e.runs, where) for e, where in zip(entries, hardware, strict=True)]
    metrics = sorted({name for run in runs for name in run.scores} - {"em", "f1"})
    return Row(
        label=entries[0].label,
        method=manifest.config.method.name,
        title=manifest.method_card.title,
        params=manifest.non_default_params,
        oracle=any(entry.oracle for entry in entries),
        seeds=tuple(sorted({seed for entry in entries for seed in entry.seeds})),
        run_ids=tuple(run.manifest.run_id for run in runs),
        em=em,
        f1=f1,
        recall=_retrieval(entries, f"recall@{k}"),
        all_gold=_retrieval(entries, f"all_gold@{k}"),
        recall_read=_retrieval(entries, "recall_read"),
        means={name: _average([entry.mean(name) for entry in entries]) for name in metrics},
        errors=sum(run.errors for run in runs),
        failures=dict(sum((Counter(run.failures) for run in runs), Counter())),
        unanswered=sum(len(run.unanswered) for run in runs),
        retries=sum(run.performance.retries or 0 for run in runs),
        cost=costs[0] if len(costs) == 1 else average_cost(costs),
        p_value=p_value,
        top=p_value is not None and p_value >= ALPHA,
        external=entries[0].external.source if entries[0].external else "",
    )


def _scores(tasks: Sequence[Entries], labels: Sequence[str], metric: str) -> dict[str, Score]:
    matrices = [np.array([entries[label].values(metric) for label in labels]) for entries in tasks]
    means = np.array([matrix.mean(axis=1) for matrix in matrices])
    # EM stays a proportion when averaged over seeds, where a bootstrap near 0 would be too sure.
    interval = proportion_cis if metric == "em" else mean_cis
    intervals = [interval(matrix) for matrix in matrices]
    return {
        label: Score(
            float(means[:, i].mean()),
            average_ci(means[:, i].tolist(), [task[i] for task in intervals]),
            _seed_std([entries[label] for entries in tasks], metric),
        )
        for i, label in enumerate(labels)
    }


def _retrieval(entries: Sequence[Entry], metric: str) -> Score | None:
    """Mean over tasks of a score that questions without gold documents do not have."""
    found = [entry.values(metric) for entry in entries]
    known = [values[~np.isnan(values)] for values in found if values is not None]
    if len(known) < len(found) or not all(values.size for values in known):
        return None
    means = [float(values.mean()) for values in known]
    intervals = [mean_cis(values[np.newaxis])[0] for values in known]
    return Score(sum(means) / len(means), average_ci(means, intervals))


def _seed_std(entries: Sequence[Entry], metric: str) -> float | None:
    """Sample standard deviation over seeds, if there are several and all tasks have the same."""
    seeds = entries[0].seeds
    if len(seeds) < 2 or any(entry.seeds != seeds for entry in entries):
        return None
    return stdev(
        float(np.mean([run.scores[metric].mean() for run in same_seed]))
        for same_seed in zip(*(entry.runs for entry in entries), strict=True)
    )


def _pooled(tasks: Sequence[Entries], label: str) -> Floats:
    """F1 of all questions, weighted so that their mean is the mean over tasks."""
    arrays = [entries[label].values("f1") for entries in tasks]
    known = [array for array in arrays if array is not None]
    total = sum(array.size for array in known)
    return np.concatenate([array * (total / array.size / len(known)) for array in known])


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
