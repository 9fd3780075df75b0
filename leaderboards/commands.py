"""The commands ``leaderboard``, ``compare`` and ``analyse``: tables and pictures of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import RunsFolder
from harness.files import check_writable


def leaderboard(
    runs: RunsFolder,
    format: Annotated[str, typer.Option(help="markdown, csv or json.")] = "markdown",
    output: Annotated[Path | None, typer.Option(help="Also write it to this file.")] = None,
    k: Annotated[int, typer.Option(help="Recall and All-gold at 5, 10, 15 or 20.")] = 5,
) -> None:
    """Print the tables of all finished and scored runs."""
    from harness.files import atomic_file, writing
    from leaderboards.table import render

    text = render(runs, format, k)
    typer.echo(text)
    if output is not None:
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(output) as file:
            file.write(text.rstrip("\n").encode() + b"\n")
        typer.echo(f"written to {output}", err=True)


def compare(
    runs: RunsFolder,
    base: Annotated[str, typer.Argument(help="A row of the leaderboard, as it is written there.")],
    other: Annotated[str, typer.Argument(help="The row compared with it.")],
    metric: Annotated[
        str, typer.Option(help="em, f1, contains, recall@5, recall_read, ...")
    ] = "f1",
) -> None:
    """Print the paired difference of two rows on one score, with interval and p-value."""
    from leaderboards import compare as comparing

    typer.echo(comparing.compare(runs, base, other, metric))


def analyse(
    runs: RunsFolder,
    out: Annotated[Path, typer.Option(help="Folder for the tables and pictures.")],
    right: Annotated[str, typer.Option(help="The score of a right answer: em, contains.")] = "em",
) -> None:
    """Split wrong answers into failures of selection and of reading; draw storage and scaling.

    Writes CSV tables, PNG and SVG pictures and the summary that it prints. Needs no model.
    """
    from leaderboards.analysis import report

    check_writable(out)
    typer.echo(report.analyse(runs, out, right).rstrip("\n"))
    typer.echo(f"written to {out}", err=True)
