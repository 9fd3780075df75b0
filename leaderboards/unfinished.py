"""Unfinished runs: the note on one that stands in no table."""

from __future__ import annotations

from leaderboards.collect import Unfinished
from leaderboards.dealt import size_of

NOT_FINISHED = "Not finished, so left out"


def unfinished_note(run: Unfinished, name: str, *, task: bool) -> str:
    """Tell how far a run has come that is not in the table."""
    config = run.manifest.config
    size = size_of(run.manifest.comparable(None)) if config.task.dealt else ""
    asked = ", ".join(filter(None, (config.task.name, size)))
    where = f" on {asked} with {config.model.called}" if task else ""
    told = (
        f"{NOT_FINISHED}: {name}{where}, seed {config.seed}, "
        f"{run.manifest.status}: {run.answered:,}/{config.task.asked:,} answered"
    )
    if not run.manifest.has_ended or run.manifest.external:
        return f"{told}."
    return (
        f"{told}, the others left unanswered by the model's server; running the same board again "
        "asks them again."
    )
