"""Rows of a table: what each run made of its questions and what it cost, best F1 first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from harness.metrics.statistics import ALPHA
from harness.runs.manifest import Hardware
from leaderboards.cost import Cost, average_cost, row_cost
from leaderboards.entries import Entries, Entry, Score, make_entries
from leaderboards.judged import Judged, judged
from leaderboards.measured import Comparison, Measured, compare_rows, measure, scores

DEFAULT_K = 5

__all__ = [
    "ALPHA",
    "DEFAULT_K",
    "Entries",
    "Entry",
    "Measured",
    "Row",
    "Rows",
    "Score",
    "make_entries",
    "make_rows",
    "measure",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    ``recall`` and ``all_gold`` are of the ranking, at the table's k, ``recall_read`` of what was
    read; None where nothing is retrieved and, for ``all_gold``, where any gold document will do.
    ``p_value`` is that of the row having the best F1 of the table, ``top`` that it is not rejected:
    no row is significantly better. ``ranks`` are the first and the last place that it may have,
    rows that share one of their ``letters`` do not differ significantly. None and "" for an oracle,
    which takes no part. ``errors`` are answers that count as wrong, ``failures`` the same by kind
    where it is known, ``unanswered`` questions whose server failed, ``retries`` requests sent
    again, each summed over the runs. ``folders`` are where its runs lie, in the order of
    ``run_ids``. ``external`` is the program that made results that are no run.
    """

    label: str
    method: str
    title: str
    params: Mapping[str, Any]
    oracle: bool
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...]
    folders: tuple[Path, ...]
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
    ranks: tuple[int, int] | None = None
    letters: str = ""
    judge: Judged | None = None
    """A judge's verdicts, in tables of one task; no score."""
    own: Mapping[str, Score] = field(default_factory=dict)
    """Scores of plug-ins' metrics that the tasks' cards name."""

    @property
    def first_seed(self) -> tuple[Path, ...]:
        """The folders of the first seed's runs in a table of one task: several of dealt pools."""
        return self.folders[: len(self.folders) // len(self.seeds)]


class Rows(NamedTuple):
    """The rows of one table, and the smallest F1 difference that it could have shown (0 to 1)."""

    rows: list[Row]
    smallest_difference: float | None


def make_rows(tasks: Sequence[Measured], hardware: Sequence[Hardware]) -> Rows:
    """Rows over the labels that all ``tasks`` have, best F1 first; means are over tasks.

    ``hardware[i]`` is the hardware whose timings count for ``tasks[i]``.
    """
    labels = sorted(set.intersection(*(set(task.entries) for task in tasks)))
    if not labels:
        return Rows([], None)
    k, found = tasks[0].k, compare_rows(tasks, labels)
    names = ("em", "f1", f"recall@{k}", f"all_gold@{k}", "recall_read")
    columns = [scores(tasks, labels, name) for name in names]
    every = sorted(set.intersection(*(set(task.cells) for task in tasks)) - set(names))
    own = {name: scores(tasks, labels, name) for name in every}
    rows = [
        replace(
            _row([task.entries[x] for task in tasks], hardware, [c.get(x) for c in columns], found),
            own={name: column[x] for name, column in own.items() if x in column},
        )
        for x in labels
    ]
    return Rows(sorted(rows, key=lambda r: (-r.f1.mean, r.label)), found.smallest_difference)


def _row(
    entries: Sequence[Entry],
    hardware: Sequence[Hardware],
    scored: Sequence[Score | None],
    found: Comparison,
) -> Row:
    label, runs = entries[0].label, [run for entry in entries for run in entry.runs]
    manifest = runs[0].manifest
    costs = [row_cost(e.runs, where) for e, where in zip(entries, hardware, strict=True)]
    metrics = sorted({name for run in runs for name in run.scores} - {"em", "f1"})
    em, f1, recall, all_gold, recall_read = scored
    if em is None or f1 is None:
        raise ValueError(f"{label}: a run without EM or F1")
    p_value = found.p_values.get(label)
    return Row(
        label=label,
        method=manifest.config.method.name,
        title=manifest.method_card.title,
        params=manifest.non_default_params,
        oracle=any(entry.oracle for entry in entries),
        seeds=tuple(sorted({seed for entry in entries for seed in entry.seeds})),
        run_ids=tuple(part.manifest.run_id for run in runs for part in run.on_disk),
        folders=tuple(part.folder for run in runs for part in run.on_disk),
        em=em,
        f1=f1,
        recall=recall,
        all_gold=all_gold,
        recall_read=recall_read,
        means={name: _average([entry.mean(name) for entry in entries]) for name in metrics},
        errors=sum(entry.errors for entry in entries),
        failures=dict(sum((Counter(entry.failures) for entry in entries), Counter())),
        unanswered=sum(len(run.unanswered) for run in runs),
        retries=sum(run.performance.retries or 0 for run in runs),
        cost=costs[0] if len(costs) == 1 else average_cost(costs),
        p_value=p_value,
        top=p_value is not None and p_value > ALPHA,
        external=entries[0].external.source if entries[0].external else "",
        ranks=found.ranks.get(label),
        letters=found.letters.get(label, ""),
        judge=judged(entries[0].runs) if len(entries) == 1 else None,
    )


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
