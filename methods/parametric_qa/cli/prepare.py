"""Preparations of a board: shared parts trained by a recipe, memories written and evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import Field, model_validator

from harness.boards.preparation import Work
from harness.files import atomic_file
from harness.fingerprint import fingerprint, known_sha256
from harness.report import checked_options, given

if TYPE_CHECKING:
    from rich.console import Console

    from methods.parametric_qa.evaluate.evaluate_write import EvaluateOptions


class Train(Work):
    """Train shared parts: ``train: RECIPE``, and ``changes`` in place of the recipe's values."""

    train: str = Field(description="a recipe")
    changes: dict[str, Any] = Field({}, description="values in place of the recipe's")

    def check(self) -> None:
        """Raise what training by the recipe would raise before a model is loaded."""
        from methods.parametric_qa.train.from_recipe import checked_recipe
        from methods.parametric_qa.train.training_data import read_training_tasks

        read_training_tasks(checked_recipe(self.train, self.changes).tasks)

    def content(self) -> str | None:
        """The recipe's values, and files of its tasks: both may be edited."""
        from methods.parametric_qa.train.from_recipe import checked_recipe

        recipe = checked_recipe(self.train, self.changes)
        files = [file for task in recipe.tasks for file in task.given_files]
        values = recipe.model_dump(mode="json")
        return fingerprint([values, *map(known_sha256, files)] if files else values)

    def make(self, folder: Path, device: str | None, console: Console) -> None:
        """Train, and tell what validation found."""
        from methods.parametric_qa.train import from_recipe

        for line in from_recipe.train(self.train, folder, self.changes, device, console):
            typer.echo(f"{folder.name}: {line}", err=True)


class EvaluateWrite(Work):
    """Write memories and measure them: ``evaluate-write:`` the options of that command."""

    evaluate_write: dict[str, Any] = Field(alias="evaluate-write")

    @model_validator(mode="before")
    @classmethod
    def _no_changes(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "changes" in values:
            raise ValueError("'changes' are of a recipe; give 'train'")
        return values

    def check(self) -> None:
        """Raise ConfigError naming an option that is refused."""
        self._options(None)

    def make(self, folder: Path, device: str | None, console: Console) -> None:
        """Print the table, and keep it as evaluation.md beside the figures."""
        from methods.parametric_qa.cli.evaluate_write import evaluated

        table = evaluated(self._options(device), folder)
        typer.echo(table)
        with atomic_file(folder / "evaluation.md") as file:
            file.write(f"{table}\n".encode())

    def _options(self, device: str | None) -> EvaluateOptions:
        from methods.parametric_qa.evaluate.evaluate_write import EvaluateOptions

        return checked_options(EvaluateOptions, {**self.evaluate_write, **given(device=device)})
