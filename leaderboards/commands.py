"""The commands ``leaderboard``, ``compare`` and ``analyse``: tables and pictures of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from harness.cli.common import RunsFolder
from harness.errors import ConfigError
from harness.files import check_writable


def leaderboard(
    runs: RunsFolder,
    format: Annotated[str, typer.Option(help="markdown, csv or json.")] = "markdown",
    output: Annotated[Path | None, typer.Option(help="Also write it to this file.")] = None,
    k: Annotated[int, typer.Option(help="Recall and All-gold at 5, 10, 15 or 20.")] = 5,
) -> None:
    """Print the tables of all finished and scored runs."""
    from harness.files import atomic_file, writing
    from leaderboards.table import Format, render

    text = render(runs, cast(Format, format), k)
    typer.echo(text)
    if output is not None:
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(output) as file:
            file.write(text.rstrip("\n").encode() + b"\n")
        typer.echo(f"written to {output}", err=True)


def compare(
    runs: RunsFolder,
    base: Annotated[
        str | None,
        typer.Argument(help="A row, as the leaderboard writes it; or, alone, a folder of runs."),
    ] = None,
    other: Annotated[str | None, typer.Argument(help="The row compared with it.")] = None,
    metric: Annotated[
        str, typer.Option(help="em, f1, contains, recall@5, recall_read, ...")
    ] = "f1",
    letters: Annotated[
        bool, typer.Option("--letters", help="All rows of each table with each other.")
    ] = False,
    changed: Annotated[
        int, typer.Option(min=0, help="How many questions that changed are shown, of two folders.")
    ] = 20,
) -> None:
    """Print the paired difference of two rows (RUNS BASE OTHER), or of the runs of two folders.

    With interval, effect size and p-value; of two folders (RUN_A RUN_B) also the questions won and
    lost. --letters compares all rows of RUNS: which differ, which ranks they may have.
    """
    if letters and base is None:
        from leaderboards.letters import letters as of_all_rows

        typer.echo(of_all_rows(runs, metric))
    elif base is not None and other is not None and not letters:
        from leaderboards import compare as comparing

        typer.echo(comparing.compare(runs, base, other, metric))
    elif base is not None and not letters:
        from leaderboards.compare_runs import compare_runs

        typer.echo(compare_runs(runs, Path(base), metric, changed))
    else:
        raise ConfigError(
            "compare what? RUNS and two rows, two folders of runs, or RUNS with --letters"
        )


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
