"""The commands ``export`` and ``merge``: runs as one table, runs of several machines as one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import RunsFolder
from harness.escape import visible


def export(
    runs: RunsFolder,
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.parquet or FILE.csv.")],
) -> None:
    """Write every answer of the finished runs as one table, a row an answer.

    documents: how many the corpus holds; pool: which one, where questions were dealt into several.
    Lists are lists in Parquet; in CSV their values stand between ' | ', and a bar or backslash in
    a value has a backslash before it.
    """
    from leaderboards.export import export as write

    count, notes = write(runs, output)
    for note in notes:
        typer.echo(visible(note), err=True)
    typer.echo(f"{count:,} answers written to {output}")


def merge(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, the --out of several runs.")],
    out: Annotated[Path, typer.Option(help="The folder that gets them all; may hold runs.")],
) -> None:
    """Copy the runs of several folders into one, if they can stand beside each other.

    Nothing is overwritten, and nothing copied if anything is damaged or contradicts anything.
    """
    from leaderboards.merge import merge as put_together

    for line in put_together(runs, out):
        typer.echo(visible(line))
