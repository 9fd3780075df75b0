"""Making what a board prepares; used by ``run`` and ``sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli.common import console
from methods.parametric_qa.cli.evaluate_write import evaluate_options, evaluated

if TYPE_CHECKING:
    from harness.boards.config import Preparation
    from harness.boards.run import Board


def prepared(board: Board, out: Path, device: str | None) -> Board:
    """The board with all that it prepares made in ``out``, once."""
    from harness.boards.prepare import prepare

    for preparation in board.prepare:
        check(preparation)

    def make(preparation: Preparation, folder: Path) -> None:
        typer.echo(f"preparing {preparation.name}", err=True)
        if preparation.train is not None:
            _train(preparation, folder, device)
        else:
            _evaluate_write(preparation, folder, device)

    return prepare(board, out, make)


def check(preparation: Preparation) -> None:
    """Before any of it is made, since one may take an hour."""
    from importlib import import_module

    if preparation.train is not None:
        recipes = import_module("methods.parametric_qa.train.recipe")
        recipes.read_recipe(preparation.train).changed(preparation.changes)
    else:
        evaluate_options(preparation.evaluate_write or {})


def _train(preparation: Preparation, folder: Path, device: str | None) -> None:
    from importlib import import_module

    commands = import_module("methods.parametric_qa.train.from_recipe")
    for line in commands.train(preparation.train, folder, preparation.changes, device, console()):
        typer.echo(f"{preparation.name}: {line}", err=True)


def _evaluate_write(preparation: Preparation, folder: Path, device: str | None) -> None:
    from harness.files import atomic_file

    options = {**(preparation.evaluate_write or {}), **({"device": device} if device else {})}
    table = evaluated(evaluate_options(options), folder)
    typer.echo(table)
    with atomic_file(folder / "evaluation.md") as file:
        file.write(f"{table}\n".encode())
