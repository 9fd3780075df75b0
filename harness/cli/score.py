"""The commands ``score`` and ``show``, which read the files of runs; no model is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import RunsFolder, named_runs


def score(runs: RunsFolder) -> None:
    """Score finished runs again from their predictions; no model is needed."""
    from harness.runs.directory import find_runs
    from harness.runs.scoring import score_run

    for folder in find_runs(runs):
        done = score_run(folder)
        typer.echo(f"{folder}: {'scored' if done else 'unfinished, left alone'}")


def show(
    run: Annotated[
        Path,
        typer.Argument(
            callback=named_runs, help="A run's folder, one that holds several, or shipped results."
        ),
    ],
    question_id: Annotated[str, typer.Argument(help="The question's id.")],
    full: Annotated[bool, typer.Option(help="Print prompts and passages in full.")] = False,
) -> None:
    """Tell one question's story: what was asked, retrieved, thought and answered."""
    from harness.cli.show import story

    typer.echo(story(run, question_id, full=full))
