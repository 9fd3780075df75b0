"""The commands ``score`` and ``show``, which read the files of runs; no model is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import RunsFolder, named_runs
from harness.errors import InputError
from harness.escape import visible


def score(
    runs: RunsFolder,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare the scores with what they would become.")
    ] = False,
) -> None:
    """Score finished runs again from their predictions; no model is needed."""
    from harness.runs.directory import find_runs
    from harness.runs.scoring import check_scores, score_again

    work, did = (check_scores, "as scored") if check else (score_again, "scored")
    damaged: list[InputError] = []
    for folder in find_runs(runs):
        try:
            typer.echo(f"{folder}: {did if work(folder) else 'unfinished, left alone'}")
        except InputError as error:
            damaged.append(error)
    # The others are scored all the same.
    for other in damaged[1:]:
        typer.echo(f"error: {visible(str(other))}", err=True)
    if damaged:
        raise damaged[0]


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
