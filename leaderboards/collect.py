"""Finished and unfinished runs below a folder, read and checked. Nothing here computes a score.

A run is only taken whole: its files must be of each other (``harness.runs.stamp``), its questions
those of the gold beside it, its scores what scoring makes of its answers. One that is not is left
out with a note, and takes no other down.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.errors import InputError
from harness.fingerprint import canonical_json
from harness.runs.directory import run_folders
from harness.runs.gold import gold_of, read_gold
from harness.runs.manifest import MANIFEST, SCHEMA_VERSION, Manifest, read_manifest
from harness.runs.performance import Performance, read_performance
from harness.runs.spot_check import scored_again
from harness.runs.stamp import PREDICTIONS, SCORES, read_stamp
from harness.runs.unanswered import read_unanswered
from leaderboards.scores import Floats, Scores, read_scores

__all__ = ["Floats", "Found", "Run", "Unfinished", "collect", "read_run"]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run that has ended and is scored; questions are in the order of their ids.

    ``unanswered`` are ids of questions whose server failed, ``errors`` counts answers and
    ``failures`` the same by kind of error, where scoring noted it. ``scores`` holds one array (n,)
    a metric, in [0, 1], NaN where a question has no such score. ``unchecked`` says why its scores
    could not be checked.
    """

    folder: Path
    manifest: Manifest
    performance: Performance
    metrics_version: int
    question_ids: tuple[str, ...]
    scores: Mapping[str, Floats]
    errors: int
    unanswered: frozenset[str] = frozenset()
    failures: Mapping[str, int] = field(default_factory=dict)
    predictions_sha256: str = ""
    unchecked: str = ""
    parts: tuple[Run, ...] = ()
    """Of runs over dealt pools that are joined (``dealt``); its folder is then the first's."""

    @property
    def on_disk(self) -> tuple[Run, ...]:
        """The runs that lie in a folder each: its parts or, of most runs, itself."""
        return self.parts or (self,)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that is still going on or was interrupted."""

    manifest: Manifest
    answered: int


class Found(NamedTuple):
    """What lies below a folder; ``notes`` tell which runs were left out as damaged, and why."""

    runs: list[Run]
    unfinished: list[Unfinished]
    notes: list[str]


def collect(runs_dir: Path, *, strict: bool = False) -> Found:
    """Read all runs below ``runs_dir``, in the order of their paths.

    Raises InputError if no finished run is left and, when ``strict``, for the first damaged one,
    naming the file, the problem and the fix.
    """
    runs: list[Run] = []
    unfinished: list[Unfinished] = []
    damage: list[str] = []
    golds = Golds()
    for folder in run_folders(runs_dir):
        try:
            manifest = read_manifest(folder, any_schema=True)
            if manifest.has_ended:
                runs.append(read_run(folder, manifest, golds))
            else:
                # A question that is asked again has two lines meanwhile.
                lines, asked = _count_lines(folder / PREDICTIONS), manifest.config.task.asked
                unfinished.append(Unfinished(manifest, min(lines, asked)))
        except InputError as error:
            damage.append(str(error))
    problems = _contradictions(runs)
    runs = [run for run in runs if run not in problems]
    damage = list(dict.fromkeys([*damage, *problems.values()]))
    if damage and (strict or not runs):
        more = f" ({len(damage) - 1} more are damaged)" if len(damage) > 1 else ""
        raise InputError(damage[0] + more)
    if not runs:
        others = f" ({len(unfinished)} unfinished)" if unfinished else ""
        raise InputError(
            f"{runs_dir}: no finished run{others}; start one with `memory-harness run`"
        )
    notes = [f"Damaged, so left out: {each}" for each in damage]
    for same in _by((run for run in runs if run.unchecked), lambda run: run.unchecked):
        notes.append(
            f"Not checked, {len(same):,} runs: {same[0].unchecked} ({same[0].folder}, ...)"
        )
    return Found(runs, unfinished, notes)


class Golds:
    """Gold of the last run's questions; runs of one task come one after the other."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._rows: dict[str, dict[str, Any]] = {}

    def of(self, folder: Path, manifest: Manifest) -> dict[str, dict[str, Any]] | None:
        """Gold by question id, None if there is none. Raises InputError if it was changed."""
        path = gold_of(folder, manifest.config.task)
        if not path.exists():
            return None
        if path != self._path:
            self._rows, self._path = read_gold(folder, manifest.config.task), path
        return self._rows


def read_run(folder: Path, manifest: Manifest, golds: Golds) -> Run:
    """Read a run that has ended. Raises InputError if it is damaged, with the file and the fix."""
    _check_config(folder, manifest)
    stamp, gold = read_stamp(folder, manifest), golds.of(folder, manifest)
    scores = read_scores(folder, manifest, stamp, has_gold=gold is not None)
    unanswered = frozenset(() if manifest.is_finished else read_unanswered(folder))
    _check_questions(folder, manifest, scores, unanswered, gold)
    if gold is not None and stamp.is_of_today:
        _check_some(folder, manifest, scores, gold)
    return Run(
        folder=folder,
        manifest=manifest,
        performance=read_performance(folder),
        metrics_version=stamp.metrics_version,
        question_ids=scores.ids,
        scores=scores.columns,
        errors=scores.errors,
        unanswered=unanswered,
        failures=scores.failures,
        predictions_sha256=stamp.predictions_sha256,
        unchecked=scores.unchecked,
    )


def _check_config(folder: Path, manifest: Manifest) -> None:
    config = manifest.config
    if manifest.schema_version == SCHEMA_VERSION and manifest.run_id != config.run_id:
        raise InputError(
            f"{folder / MANIFEST}: its config is of run {config.run_id}, not of {manifest.run_id}: "
            "it was changed after the run; restore it or run again"
        )


def _check_questions(
    folder: Path,
    manifest: Manifest,
    scores: Scores,
    unanswered: frozenset[str],
    gold: Mapping[str, Any] | None,
) -> None:
    ids, asked = set(scores.ids), manifest.config.task.asked - len(unanswered)
    strangers = set() if gold is None else (ids | unanswered) ^ gold.keys()
    if strangers or len(ids) != len(scores.ids) or len(ids) != asked or not ids or unanswered & ids:
        raise InputError(
            f"{folder / SCORES}: {len(ids)} of {asked} questions scored"
            + (f", {len(strangers)} of them not the gold's" if strangers else "")
            + f"; run `memory-harness score {folder}`"
        )


def _check_some(
    folder: Path, manifest: Manifest, scores: Scores, gold: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raise InputError for a score that is missing, or not what scoring makes of its answer."""
    for id_, again in scored_again(folder, manifest, gold):
        place = bisect_left(scores.ids, id_)
        if scores.ids[place : place + 1] != (id_,):
            raise InputError(
                f"{folder / SCORES}: has no scores of question {id_!r}, which is answered; run "
                f"`memory-harness score {folder}`"
            )
        for name, values in scores.columns.items():
            stored = None if np.isnan(values[place]) else float(values[place])
            # Where no answer of the run has a score, its column is not there.
            if again.get(name, stored) != stored:
                raise InputError(
                    f"{folder / SCORES}: '{name}' of question '{id_}' is {stored}, but its answer "
                    f"scores {again[name]}; run `memory-harness score {folder}`"
                )


def _contradictions(runs: Sequence[Run]) -> dict[Run, str]:
    """What is wrong with runs that cannot all be right. Of equal ones the first may stay."""
    problems: dict[Run, str] = {}
    for members in _by(runs, lambda run: str(gold_of(run.folder, run.manifest.config.task))):
        asked = {run: run.unanswered.union(run.question_ids) for run in members}
        for run in members:
            other = next((each for each in members if asked[each] != asked[run]), None)
            if other is not None:
                problems[run] = (
                    f"{run.folder}: other question ids than {other.folder} under the same "
                    "questions_fingerprint; run the older one again"
                )
    for first, *others in _by(runs, lambda run: (_asked(run.manifest), run.metrics_version)):
        for run in others:
            twice = f"{first.folder} and {run.folder}: the same run twice; remove one of them"
            problems[run] = twice
            # Of one model by two names, made on two machines perhaps, both are right.
            is_same = run.manifest.run_id == first.manifest.run_id
            if is_same and run.predictions_sha256 != first.predictions_sha256:
                problems[first] = problems[run] = f"{twice}, their predictions differ"
    return problems


def _asked(manifest: Manifest) -> str:
    """What a run's id is of, the model by what tables call it."""
    config, called = manifest.config.written(), manifest.config.model.called
    model = {**config["model"], "name": called}
    return canonical_json([manifest.schema_version, {**config, "model": model}])


def _by(runs: Iterable[Run], key: Callable[[Run], Hashable]) -> Iterable[list[Run]]:
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups.values()


def _count_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)
