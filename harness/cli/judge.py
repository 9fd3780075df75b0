"""The command ``judge``: a language model's opinion of answers, recorded beside their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import BatchSize, Device, RunsFolder, console
from harness.errors import RunFailedError


def judge(
    runs: RunsFolder,
    model: Annotated[str, typer.Option(help="The judge: catalogue name, hf:ORG/NAME, path:…")],
    prompt: Annotated[
        Path | None,
        typer.Option(help="Text file with {question}, {golden_answers} and {answer}."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove the verdicts of another judge.")
    ] = False,
    batch_size: BatchSize = None,
    device: Device = None,
) -> None:
    """Ask a language model of every answer whether it is right, and record its verdicts.

    A leaderboard shows them in a column of their own, with their agreement with EM. What has its
    verdict already is not asked again.
    """
    from harness.boards.judge import run_judge
    from harness.runs.directory import find_runs

    folders = find_runs(runs)
    left = run_judge(
        folders, model, prompt, console(), replace=replace, batch_size=batch_size, device=device
    )
    if left:
        raise RunFailedError(f"{left} answers have no verdict; the same command asks them again")
    typer.echo(f"next: memory-harness leaderboard {runs}", err=True)
