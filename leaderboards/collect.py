"""Finished and unfinished runs below a folder, read. Nothing here computes a score."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import InputError
from harness.files import read_json
from harness.fingerprint import file_sha256
from harness.runs.directory import run_folders
from harness.runs.manifest import Manifest, read_manifest
from harness.runs.performance import Performance, read_performance
from harness.runs.unanswered import read_unanswered

Floats = npt.NDArray[np.float64]

_REQUIRED = ("em", "f1", "contains")
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_@-]*")


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run that has ended and is scored; questions are in the order of their ids.

    ``unanswered`` are ids of questions whose server failed, ``errors`` counts answers. ``scores``
    holds one array (n,) a metric, in [0, 1], NaN where a question has no such score.
    """

    folder: Path
    manifest: Manifest
    performance: Performance
    metrics_version: int
    question_ids: tuple[str, ...]
    scores: Mapping[str, Floats]
    errors: int
    unanswered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run that is still going on or was interrupted."""

    manifest: Manifest
    answered: int


def collect(runs_dir: Path) -> tuple[list[Run], list[Unfinished]]:
    """Read all runs below ``runs_dir``, in the order of their paths.

    Raises InputError, naming the file, if a file is broken or a finished run is not scored.
    """
    finished: list[Run] = []
    unfinished: list[Unfinished] = []
    for folder in run_folders(runs_dir):
        manifest = read_manifest(folder, any_schema=True)
        if manifest.has_ended:
            finished.append(_read_run(folder, manifest, runs_dir))
        else:
            unfinished.append(Unfinished(manifest, _count_lines(folder / "predictions.jsonl")))
    if not finished:
        others = f" ({len(unfinished)} unfinished)" if unfinished else ""
        raise InputError(
            f"{runs_dir}: no finished run{others}; start one with `memory-harness run`"
        )
    return finished, unfinished


def _read_run(folder: Path, manifest: Manifest, runs_dir: Path) -> Run:
    rescore = f"run `memory-harness score {runs_dir}`"
    state, scores = folder / "scores.json", folder / "scores.jsonl"
    if not state.exists() or not scores.exists():
        raise InputError(f"{folder}: finished but not scored; {rescore}")
    stamp = read_json(state)
    if not isinstance(stamp, dict) or not isinstance(stamp.get("metrics_version"), int):
        raise InputError(f"{state}: 'metrics_version' is missing; {rescore}")
    predictions = folder / "predictions.jsonl"
    if not predictions.exists():
        raise InputError(f"{predictions}: missing from a finished run; restore it or run it again")
    if stamp.get("predictions_sha256") != file_sha256(predictions):
        raise InputError(f"{scores}: older than the run's predictions; {rescore}")
    lines = sorted(_score_lines(scores, rescore), key=lambda line: str(line["question_id"]))
    ids = tuple(str(line["question_id"]) for line in lines)
    unanswered = frozenset(() if manifest.is_finished else read_unanswered(folder))
    asked = manifest.config.task.asked - len(unanswered)
    if len(set(ids)) != len(ids) or len(ids) != asked or not ids or unanswered & set(ids):
        raise InputError(f"{scores}: {len(set(ids))} of {asked} questions scored; {rescore}")
    return Run(
        folder=folder,
        manifest=manifest,
        performance=read_performance(folder),
        metrics_version=stamp["metrics_version"],
        question_ids=ids,
        scores=_columns(lines),
        errors=sum(bool(line.get("error")) for line in lines),
        unanswered=unanswered,
    )


def _score_lines(path: Path, rescore: str) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
                complete = "question_id" in line and all(
                    line[name] is not None for name in _REQUIRED
                )
                named = all(map(_METRIC.fullmatch, _metrics(line)))
                valid = (
                    complete and named and all(0 <= value <= 1 for value in _metrics(line).values())
                )
            except (ValueError, TypeError, KeyError, AttributeError):
                valid = False
            if not valid:
                raise InputError(
                    f"{path}:{number}: need question_id and scores from 0 to 1; {rescore}"
                )
            yield line


def _metrics(line: Mapping[str, Any]) -> dict[str, float]:
    names = line.keys() - {"question_id", "error"}
    return {name: float(line[name]) for name in names if line[name] is not None}


def _columns(lines: list[dict[str, Any]]) -> dict[str, Floats]:
    scores = [_metrics(line) for line in lines]
    names = sorted({name for line in scores for name in line})
    return {name: np.array([line.get(name, np.nan) for line in scores]) for name in names}


def _count_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(line.endswith(b"\n") for line in file)
