"""The command ``import-results``: results of another program as rows marked external."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.common import (
    TASK_HELP,
    CorpusFile,
    DataDir,
    Limit,
    Plugins,
    Questions,
    Revision,
    RunsOut,
    Split,
    TrainFile,
    load_plugins,
    task_values,
)
from harness.errors import ConfigError, did_you_mean
from harness.escape import visible
from harness.files import check_no_links, check_writable

PROGRAMS = ("flashrag",)


def import_results(
    program: Annotated[str, typer.Argument(help=f"Who made them: {', '.join(PROGRAMS)}.")],
    folder: Annotated[Path, typer.Argument(help="Of FlashRAG, its save_dir with date and note.")],
    task: Annotated[str, typer.Option(help=f"Whose questions they answer. {TASK_HELP}")],
    name: Annotated[str, typer.Option(help="What the row is called.")],
    out: RunsOut = Path("runs"),
    partial: Annotated[
        bool, typer.Option("--partial", help="Take only the questions that both have.")
    ] = False,
    limit: Limit = None,
    split: Split = None,
    questions: Questions = None,
    corpus: CorpusFile = None,
    train: TrainFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    plugin: Plugins = None,
) -> None:
    """Import another program's answers to a task's questions as a run that is marked external.

    They are scored here, and nothing of their cost is known. Ids and texts of the questions must
    agree with the task's.
    """
    from harness.boards.task_entry import TaskSource
    from harness.runs import import_results as importing

    load_plugins(plugin)
    read = _reader(program)
    entry = task_values(split, questions, train, corpus, data_dir, revision)
    source = TaskSource.model_validate({"name": task, **entry})
    check_writable(out)
    check_no_links(out)
    done = importing.import_results(read(folder), source.load(limit), out, name, partial=partial)
    told = [f"{done.answered:,} answers"]
    told += [f"{done.unanswered:,} questions without an answer"] if done.unanswered else []
    told += [f"{done.left_out:,} results of other questions left out"] if done.left_out else []
    typer.echo(f"{done.folder}: {', '.join(told)}")
    if done.reason:
        typer.echo(
            f"no Recall: {visible(done.reason)}; the row takes no part in the comparison", err=True
        )
    typer.echo(f"next: memory-harness leaderboard {out}", err=True)


def _reader(program: str) -> Callable[[Path], Any]:
    from harness.runs.flashrag_results import read_flashrag

    if program not in PROGRAMS:
        raise ConfigError(
            f"cannot import results of '{program}'{did_you_mean(program, list(PROGRAMS))}"
        )
    return read_flashrag
