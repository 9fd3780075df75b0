"""The command ``train``: shared parts of a method by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import check_writable, console
from harness.report import given


def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder for the shared parts.")],
    model: Annotated[str | None, typer.Option(help="Another model than the recipe's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Another number of steps.", min=0)] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed.", min=0)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
) -> None:
    """Train what parametric-qa's memories share; the same command continues where it was.

    Learns from train questions and from passages that no evaluated question needs. Use the result
    with -p shared=FOLDER.
    """
    from methods.parametric_qa.train import from_recipe

    check_writable(out)
    changes = given(model=model, steps=steps, seed=seed)
    for line in from_recipe.train(recipe, out, changes, device, console()):
        typer.echo(line)
    typer.echo(f"use it: memory-harness run … --method parametric-qa -p shared={out}", err=True)
