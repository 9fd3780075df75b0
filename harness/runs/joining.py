"""Joining of shards: a run whose questions several jobs asked, as one job would leave it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from harness.errors import InputError
from harness.runs.directory import RunDirectory
from harness.runs.ending import end_run
from harness.runs.gold import gold_of, gold_path, gold_rows
from harness.runs.machine import AnsweredOn
from harness.runs.manifest import Manifest
from harness.runs.performance import read_performance, update_performance
from harness.runs.predictions import read_predictions
from harness.runs.shard import Shard
from harness.runs.stamp import PREDICTIONS
from harness.runs.unanswered import read_unanswered

BY = "shards"


@dataclass(frozen=True, slots=True)
class Sharded:
    """A folder that holds a shard of a run."""

    folder: Path
    manifest: Manifest
    shard: Shard


def join(shards: Sequence[Sharded], out: Path) -> Path:
    """Write the run of all its shards below ``out``, with its gold; returns its folder.

    Raises InputError, naming the folders and the fix, unless they are of one dealing and release
    and together ask every question once, and each has all its answers.
    """
    shards = sorted(shards, key=lambda each: each.shard.begin)
    _check_alike(shards)
    _check_whole(shards)
    first, task = shards[0], shards[0].manifest.config.task
    ids = [row["id"] for row in gold_rows(first.folder, task)]
    unanswered = dict(reason for each in shards for reason in _answered(each, ids))
    folder = first.manifest.config.folder(out)
    folder.mkdir(parents=True)
    shutil.copyfile(gold_of(first.folder, task), gold_path(out, task))
    machines = Counter[str]()
    with RunDirectory(folder, tuple(ids)) as run:
        values = {k: v for k, v in first.manifest.written().items() if k != "shard"}
        run.write_manifest(Manifest.model_validate(values))
        for each in shards:
            for line, row in read_predictions(each.folder / PREDICTIONS):
                run.append(row["question_id"], line)
                machines[each.manifest.hardware.text] += 1
        run.change_manifest(answered_on=AnsweredOn(by=BY, machines=dict(machines)))
        retries = sum(read_performance(each.folder).retries or 0 for each in shards)
        update_performance(folder, **({"retries": retries} if retries else {}))
        end_run(run, unanswered, read_performance(first.folder).storage)
    return folder


def _check_alike(shards: Sequence[Sharded]) -> None:
    for one, other in pairwise(shards):
        where = f"{one.folder} and {other.folder}"
        a, b = one.shard, other.shard
        if (a.board, a.parts) != (b.board, b.parts):
            raise InputError(
                f"{where}: {a.text} and {b.text} are of different boards or dealings; merge the "
                "parts of one"
            )
        if one.manifest.harness != other.manifest.harness:
            raise InputError(
                f"{where}: made by different releases, {one.manifest.harness.text} and "
                f"{other.manifest.harness.text}; run one of the parts again"
            )


def _check_whole(shards: Sequence[Sharded]) -> None:
    first, place = shards[0], 0
    asked = first.manifest.config.task.asked
    for each in shards:
        if each.shard.begin < place:
            other = next(known for known in shards if known.shard.end > each.shard.begin)
            raise InputError(
                f"{other.folder} and {each.folder}: both ask question {each.shard.begin + 1:,}; "
                "merge each part once"
            )
        if each.shard.begin > place:
            raise InputError(_missing(first, place, each.shard.begin))
        place = each.shard.end
    if place != asked:
        raise InputError(_missing(first, place, asked))


def _missing(first: Sharded, begin: int, end: int) -> str:
    return (
        f"{first.folder}: no folder has questions {begin + 1:,} to {end:,} of this run; run the "
        f"parts of {first.shard.parts} that are missing and merge them all"
    )


def _answered(each: Sharded, ids: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Ids and reasons of what the shard's server left unanswered."""
    wanted = set(ids[each.shard.begin : each.shard.end])
    there = {row["question_id"] for _, row in read_predictions(each.folder / PREDICTIONS)}
    unanswered = read_unanswered(each.folder)
    ended = read_performance(each.folder).usage is not None
    if there - wanted or not ended or wanted - there - unanswered.keys():
        raise InputError(
            f"{each.folder}: {len(there & wanted):,} of {len(wanted):,} questions of "
            f"{each.shard.text} are answered; run this part again, then merge"
        )
    yield from unanswered.items()
