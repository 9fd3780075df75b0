"""The command ``train``: shared parts of a method by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import (
    TASK_HELP,
    CorpusFile,
    DataDir,
    Questions,
    Revision,
    Split,
    console,
    task_values,
)
from harness.files import check_writable
from harness.report import given
from methods.parametric_qa.cli.tasks import task_entries


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder for the shared parts.")],
    task: Annotated[
        list[str] | None,
        typer.Option(help=f"Other tasks than the recipe's; repeat for more. {TASK_HELP}"),
    ] = None,
    split: Split = None,
    questions: Questions = None,
    train_file: Annotated[
        Path | None, typer.Option("--train", help="Train questions, in the same form.")
    ] = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    rows: Annotated[
        Path | None, typer.Option(help="Folder of the recipe's sources, SOURCE.jsonl.gz.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Another model than the recipe's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Another number of steps.", min=0)] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed.", min=0)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
) -> None:
    """Train what parametric-qa's memories share; the same command continues where it was.

    Learns from train questions and from passages that no evaluated question needs, and notes which
    questions: a run that asks one of them stops. Use the result with -p shared=FOLDER.
    """
    from methods.parametric_qa.train import from_recipe

    check_writable(out)
    values = task_values(split, questions, train_file, corpus, data_dir, revision)
    changes = given(model=model, steps=steps, seed=seed, tasks=task_entries(task, values))
    for line in from_recipe.train(recipe, out, changes, device, console(), rows):
        typer.echo(line)
    typer.echo(f"use it: memory-harness run … --method parametric-qa -p shared={out}", err=True)
