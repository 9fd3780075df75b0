"""The end of a run: its answers in order, what they cost, its status and its scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.runs.directory import RunDirectory
from harness.runs.manifest import FINISHED, INCOMPLETE
from harness.runs.performance import Storage, update_performance
from harness.runs.scoring import score_run
from harness.runs.unanswered import write_unanswered
from harness.runs.usage import mean_usage


def note_cost(run: RunDirectory, storage: Storage | None) -> None:
    """Put down what no clock tells: usage, and the method's own account of its storage."""
    known = {} if storage is None else {"storage": storage}
    update_performance(run.folder, usage=mean_usage(run.predictions_path), **known)


def end_asking(
    run: RunDirectory, asked: Iterable[str], unanswered: Mapping[str, str], storage: Storage | None
) -> bool:
    """Put down that these questions were asked; whether all of them have an answer.

    ``unanswered`` has the reason of each that has none.
    """
    missing = [id_ for id_ in asked if id_ not in run.answered]
    run.finish()
    note_cost(run, storage)
    write_unanswered(run.folder, {id_: unanswered[id_] for id_ in missing})
    return not missing


def end_run(run: RunDirectory, unanswered: Mapping[str, str], storage: Storage | None) -> None:
    """Put down that every question was asked, and score the answers."""
    whole = end_asking(run, run.question_ids, unanswered, storage)
    run.change_manifest(status=FINISHED if whole else INCOMPLETE)
    score_run(run.folder)
