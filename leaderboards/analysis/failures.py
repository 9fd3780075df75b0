"""Failures of selection, of several hops and of reading: each method's shares, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.escape import markdown_text
from harness.metrics.statistics import mean_cis
from harness.report import pipe_table
from leaderboards.analysis.reading import (
    CLASSES,
    ERROR,
    MULTI_HOP,
    NOT_RANKED,
    RANKED,
    READING,
    RIGHT,
    Case,
    Reading,
    cases,
    gold_ids,
    read_readings,
)
from leaderboards.analysis.series import Pool, shown_label
from leaderboards.cells import MISSING
from leaderboards.rows import Row, Score

SELECTION = "selection failure"
GROUPS: dict[str, tuple[str, ...]] = {
    RIGHT: (RIGHT,),
    READING: (READING,),
    MULTI_HOP: (MULTI_HOP,),
    SELECTION: (RANKED, NOT_RANKED),
    RANKED: (RANKED,),
    NOT_RANKED: (NOT_RANKED,),
    ERROR: (ERROR,),
}
"""What shares are given for: the classes, and both kinds of selection failure together."""
_HEADERS = {RANKED: "of these ranked, not read", NOT_RANKED: "of these not ranked"}


@dataclass(frozen=True, slots=True)
class Failures:
    """One method on one pool: the cases of each seed, over the same questions, and the shares."""

    pool: Pool
    row: Row
    cases: tuple[tuple[Case, ...], ...]
    shares: dict[str, Score]
    """Of the questions with gold, averaged over seeds; by name in GROUPS."""

    @property
    def questions(self) -> int:
        """Questions with gold."""
        return len(self.cases[0])


@dataclass(frozen=True, slots=True)
class Found:
    """The failures of one pool, and what is not among them."""

    pool: Pool
    failures: tuple[Failures, ...]
    without_retrieval: tuple[str, ...]
    """Labels of methods that retrieve nothing."""
    without_gold: int
    """Questions that name no gold document."""


def find_failures(pool: Pool, right: str) -> Found:
    """Classify every answer of the pool's methods that retrieve or select something.

    ``right`` is the score that is 1 for a right answer, em or contains. Raises InputError if gold
    or predictions are missing.
    """
    gold = gold_ids(pool.group.runs[0])
    asked = pool.group.runs[0].question_ids
    without_gold = sum(not gold[id_] for id_ in asked)
    failures, without_retrieval = [], []
    for row in pool.rows:
        runs = pool.entry(row).runs
        readings = [read_readings(run) for run in runs]
        if not any(_retrieves(found) for found in readings):
            without_retrieval.append(row.label)
        elif without_gold < len(asked):
            found = tuple(
                tuple(cases(run, gold, read, right))
                for run, read in zip(runs, readings, strict=True)
            )
            failures.append(Failures(pool, row, found, _shares(found)))
    return Found(pool, tuple(failures), tuple(without_retrieval), without_gold)


def case_records(found: Iterable[Failures]) -> Iterator[dict[str, Any]]:
    """One record a question and seed."""
    for one in found:
        for run, answers in zip(one.pool.entry(one.row).runs, one.cases, strict=True):
            for case in answers:
                yield {
                    **one.pool.record(),
                    "method": one.row.label,
                    "seed": run.manifest.config.seed,
                    "run_id": run.manifest.run_id,
                    "question_id": case.question_id,
                    "class": case.kind,
                    "gold": case.gold,
                    "gold_read": case.read,
                    "gold_ranked": case.ranked,
                    "em": case.em,
                    "f1": case.f1,
                }


def share_records(found: Iterable[Failures]) -> Iterator[dict[str, Any]]:
    """One record a method and class, ``selection failure`` for both of its kinds together."""
    for one in found:
        for name, share in one.shares.items():
            yield {
                **one.pool.record(),
                "method": one.row.label,
                "oracle": int(one.row.oracle),
                "seeds": " ".join(map(str, one.row.seeds)),
                "questions": one.questions,
                "class": name,
                "share": share.mean,
                "share_low": share.interval.low,
                "share_high": share.interval.high,
            }


def shares_table(found: Sequence[Failures]) -> str:
    """A markdown table of percentages with 95% intervals, one line a method and corpus."""
    names = [name for name in GROUPS if name != ERROR or any(f.shares[ERROR].mean for f in found)]
    headers = ["Task", "Documents", "Method", "n"]
    lines = [
        [
            markdown_text(one.pool.group.task),
            MISSING if one.pool.documents is None else f"{one.pool.documents:,}",
            markdown_text(shown_label(one.row)),
            f"{one.questions:,}",
            *(_cell(one, name) for name in names),
        ]
        for one in found
    ]
    headers += [_HEADERS.get(name, name.capitalize()) for name in names]
    return pipe_table(headers, lines, left=(0, 2))


def _retrieves(readings: dict[str, Reading]) -> bool:
    return any(one.read or one.ranked for one in readings.values())


def _shares(seeds: Sequence[Sequence[Case]]) -> dict[str, Score]:
    kinds = np.array([[CLASSES.index(case.kind) for case in answers] for answers in seeds])
    members = {name: [CLASSES.index(kind) for kind in group] for name, group in GROUPS.items()}
    values = np.array([np.isin(kinds, places).mean(axis=0) for places in members.values()])
    return {
        name: Score(float(row.mean()), interval)
        for name, row, interval in zip(members, values, mean_cis(values), strict=True)
    }


def _cell(one: Failures, name: str) -> str:
    if name == MULTI_HOP and one.pool.group.manifest.scoring.gold == "any":
        return MISSING
    share = one.shares[name]
    low, high = share.interval
    return f"{100 * share.mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
