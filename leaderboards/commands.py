"""The command ``analyse``: why answers are wrong, storage against accuracy, scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import check_writable


def analyse(
    runs: Annotated[Path, typer.Argument(help="Folder of runs (the --out of 'run').")],
    out: Annotated[Path, typer.Option(help="Folder for the tables and pictures.")],
    right: Annotated[str, typer.Option(help="The score of a right answer: em, contains.")] = "em",
) -> None:
    """Split wrong answers into failures of selection and of reading; draw storage and scaling.

    Writes CSV tables, PNG and SVG pictures and the summary that it prints. Needs no model.
    """
    from importlib import import_module

    check_writable(out)
    typer.echo(import_module("leaderboards.analysis.report").analyse(runs, out, right).rstrip("\n"))
    typer.echo(f"written to {out}", err=True)
