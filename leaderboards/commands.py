"""The commands that read runs or published figures: tables, comparisons and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import RunsFolder
from harness.errors import ConfigError, did_you_mean
from harness.escape import visible
from harness.files import check_writable


def leaderboard(
    runs: RunsFolder,
    format: Annotated[
        str | None,
        typer.Option(help="markdown, csv, latex, json, parquet, html; else by --output's name."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it to this file; Parquet and HTML need one."),
    ] = None,
    columns: Annotated[
        str, typer.Option(help="Names below with commas, or 'all'; else what fits.")
    ] = "",
    sort: Annotated[str, typer.Option(help="Rows by this column, the best first.")] = "",
    group: Annotated[str, typer.Option(help="Tables by 'model' or by 'task'.")] = "",
    k: Annotated[int, typer.Option(help="Recall and All-gold at 5, 10, 15 or 20.")] = 5,
    published: Annotated[
        bool, typer.Option("--published", help="Also what others report, in tables of its own.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="A damaged run is an error, not left out.")
    ] = False,
) -> None:
    """Print the tables of all finished and scored runs.

    Columns: method, em, f1, p, ranks, letters, contains, recall, all_gold, recall_read, retrieved,
    judge, judge_agreement, latency, noise, ttft, prefix, throughput, cold_start, index, write,
    calls, searches, tokens, write_calls, write_tokens, dropped, memory, storage, parts, errors,
    unanswered, retries, empty, cut_off, and any other score by its name. Beside a CSV or Parquet
    file stands NAME.settings.json, which tells what its settings_id and row_id stand for.
    """
    from leaderboards.view import view
    from leaderboards.writers import FLAT, chosen_format, save, write

    form = chosen_format(format, output)
    names = [name.strip() for name in columns.split(",") if name.strip()]
    if published and form in FLAT and output is None:
        raise ConfigError(
            "--published: figures of others stand in no table of rows; add --output FILE to have "
            f"them in a file beside the {form}, or use 'memory-harness published'"
        )
    shown = view(
        runs, k=k, columns=names, sort=sort, group=group, published=published, strict=strict
    )
    content = write(shown, form)
    if form == "markdown" or output is None:
        typer.echo(content.decode(), nl=False)
    if form != "markdown":  # rows hold no notes, and what was left out must be known
        for note in shown.board.notes:
            typer.echo(visible(note), err=True)
    if output is not None:
        for path in save(shown, form, content, output):
            typer.echo(f"written to {path}", err=True)


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


def beside(
    runs: RunsFolder,
    other: Annotated[str, typer.Argument(help="Another folder, or results that ship.")],
) -> None:
    """Print the rows of two boards side by side, each with its own questions; no common ranking."""
    from harness.runs.results import NoResultsError, find_results
    from leaderboards import beside as side_by_side

    try:
        found = find_results(Path(other))
    except NoResultsError as reason:
        # A board that was just made stands without it.
        typer.echo(str(reason), err=True)
        return
    typer.echo(side_by_side.beside(runs, found, (runs.name, Path(other).name)), nl=False)


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


def published(
    task: Annotated[
        list[str] | None, typer.Option(help="This task alone. May be given again.")
    ] = None,
    format: Annotated[str, typer.Option(help="markdown, csv or json.")] = "markdown",
    output: Annotated[Path | None, typer.Option(help="Also write it to this file.")] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="All columns in markdown, however wide.")
    ] = False,
) -> None:
    """Print published figures, each with its source; they are never ranked with runs."""
    from harness.files import atomic_file, writing
    from leaderboards.published import Figure, figures
    from leaderboards.published.block import to_csv, to_json, to_markdown

    def markdown(found: Sequence[Figure]) -> str:
        return to_markdown(found, wide=wide)

    writers = {"markdown": markdown, "csv": to_csv, "json": to_json}
    if format not in writers:
        raise ConfigError(f"no such format: {format!r}{did_you_mean(format, list(writers))}")
    known = sorted({figure.task for figure in figures()})
    for name in task or ():
        if name not in known:
            raise ConfigError(f"no figure of task '{name}'{did_you_mean(name, known)}")
    text = writers[format](figures(task)).rstrip("\n")
    typer.echo(text)
    if output is not None:
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(output) as file:
            file.write(text.encode() + b"\n")
        typer.echo(f"written to {output}", err=True)
