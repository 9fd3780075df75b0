"""Runs that belong in one picture: one task and model, over one corpus or several sizes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.fingerprint import canonical_json
from harness.runs.manifest import Hardware
from leaderboards.board import Group, read_groups
from leaderboards.cost import common_hardware
from leaderboards.rows import DEFAULT_K, Entry, Row, make_rows, measure


@dataclass(frozen=True, slots=True)
class Pool:
    """Comparable runs over one corpus; ``rows`` are the leaderboard's, best F1 first."""

    group: Group
    rows: tuple[Row, ...]

    @property
    def documents(self) -> int | None:
        """Passages in the corpus; None if the runs do not tell."""
        return self.group.manifest.config.task.passages

    @property
    def questions(self) -> int:
        """How many questions were asked."""
        return len(self.group.runs[0].question_ids)

    @property
    def title(self) -> str:
        """One line over a picture."""
        size = "" if self.documents is None else f", {self.documents:,} documents"
        model = self.group.manifest.config.model.called
        return f"{self.group.task}{size}, n = {self.questions:,}, {model}"

    def entry(self, row: Row) -> Entry:
        """The runs of a row."""
        return self.group.entries[row.label]

    def record(self) -> dict[str, str | int | None]:
        """The first columns of every table: what was asked, of which model, over how much."""
        config = self.group.manifest.config
        return {
            "task": config.task.name,
            "split": config.task.split,
            "model": config.model.called,
            "documents": self.documents,
        }


@dataclass(frozen=True, slots=True)
class Series:
    """Pools that differ in their corpora alone, smallest first.

    Timings in their rows are from ``hardware`` alone.
    """

    pools: tuple[Pool, ...]
    hardware: Hardware

    @property
    def largest(self) -> Pool:
        """The pool with the most documents."""
        return self.pools[-1]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The different numbers of documents, rising."""
        return tuple(sorted({p.documents for p in self.pools if p.documents is not None}))


def read_series(runs_dir: Path) -> tuple[list[Series], list[str]]:
    """All finished runs below a folder, and a note on each run that is not finished.

    Raises InputError, naming the file and the fix, if there is none or one is broken.
    """
    everything, notes = read_groups(runs_dir, across_corpora=True)
    groups = [g for g in everything if any(not run.manifest.external for run in g.runs)]
    if any(run.manifest.external for group in everything for run in group.runs):
        notes.append("External results are left out: what they read and what it took is not known.")
    alike: dict[str, list[Group]] = {}
    for group in groups:
        version = group.runs[0].metrics_version
        shared = group.manifest.comparable(version, across_corpora=True)
        alike.setdefault(canonical_json(shared), []).append(group)
    return [_series(members) for members in alike.values()], notes


def labels_of(series: Sequence[Series]) -> list[str]:
    """Every method's label, sorted, so that it looks the same in all pictures."""
    return sorted({row.label for one in series for pool in one.pools for row in pool.rows})


def shown_label(row: Row) -> str:
    """A method's name in a picture or table; one that is shown gold says so."""
    return f"{row.label} \u2020oracle" if row.oracle else row.label


def _measured_rows(group: Group, hardware: Hardware) -> tuple[Row, ...]:
    found = make_rows([measure(group.entries, DEFAULT_K)], [hardware])
    return tuple(row for row in found.rows if not row.external)


def _series(groups: Sequence[Group]) -> Series:
    hardware = common_hardware(run for group in groups for run in group.runs)
    pools = [Pool(group, _measured_rows(group, hardware)) for group in groups]
    return Series(tuple(sorted(pools, key=lambda pool: pool.documents or 0)), hardware)
