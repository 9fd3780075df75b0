"""The command ``train``: shared parts of a method by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import (
    CorpusFile,
    DataDir,
    Device,
    Questions,
    Revision,
    Split,
    TrainFile,
    console,
    task_values,
)
from harness.files import check_writable
from harness.report import given
from methods.options import OtherModel, OtherSeed, OtherTasks, RecipeName, SourceRows, task_entries


def train(
    recipe: RecipeName,
    out: Annotated[Path, typer.Option(help="Folder for the shared parts.")],
    task: OtherTasks = None,
    split: Split = None,
    questions: Questions = None,
    train: TrainFile = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    rows: SourceRows = None,
    model: OtherModel = None,
    steps: Annotated[int | None, typer.Option(help="Another number of steps.", min=0)] = None,
    seed: OtherSeed = None,
    device: Device = None,
) -> None:
    """Train what parametric-qa's memories share; the same command continues where it was.

    Learns from train questions and from passages that no evaluated question needs, and notes which
    questions: a run that asks one of them stops. Use the result with -p shared=FOLDER.
    """
    from methods.parametric_qa.train import from_recipe

    check_writable(out)
    values = task_values(split, questions, train, corpus, data_dir, revision)
    changes = given(model=model, steps=steps, seed=seed, tasks=task_entries(task, values))
    for line in from_recipe.train(recipe, out, changes, device, console(), rows):
        typer.echo(line)
    typer.echo(f"use it: memory-harness run … --method parametric-qa -p shared={out}", err=True)
