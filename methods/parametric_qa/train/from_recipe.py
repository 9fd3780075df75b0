"""A training by a recipe, with the model and the data that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from methods.parametric_qa.train.recipe import Recipe


def train(
    recipe: str,
    out: Path,
    changes: dict[str, Any],
    device: str | None,
    console: Console,
    rows: Path | None = None,
) -> Iterator[str]:
    """Train by a recipe with some of its values changed; yields what validation found.

    ``rows`` is the folder of the recipe's sources.
    Raises ConfigError naming a change that the recipe refuses.
    """
    from harness.boards.learnt import learnt_by
    from harness.llm.catalogue import resolve_model
    from harness.llm.local import LocalModel
    from harness.llm.open import open_model
    from harness.meters.hardware import default_device, set_torch_threads
    from methods.parametric_qa.train.curves import read_curves
    from methods.parametric_qa.train.row_sources import hashes, source_tasks
    from methods.parametric_qa.train.training import train as train_parts
    from methods.parametric_qa.train.training_data import read_training_tasks

    plan = checked_recipe(recipe, changes)
    tasks = read_training_tasks(plan.tasks) + source_tasks(plan.sources, plan.tasks, rows)
    set_torch_threads()
    llm = open_model(resolve_model(plan.model).on(device or default_device()), device=device)
    if not isinstance(llm, LocalModel):
        raise ConfigError(f"model '{llm.name}' cannot be trained; take a local transformers model")
    before = learnt_by(resolve_model(plan.model))
    train_parts(plan, llm, tasks, out, console, before, hashes(plan.sources, rows))
    last = {measure: (step, value) for step, measure, value, _ in read_curves(out / "curves.csv")}
    for measure, (step, value) in last.items():
        if measure.startswith("validation"):
            yield f"{measure}, step {step}: {value:.3f}"


def checked_recipe(name: str, changes: Mapping[str, Any]) -> Recipe:
    """A recipe with some of its values changed; loads neither data nor model.

    Raises ConfigError naming a change that it refuses, settings that contradict each other, a model
    that there is not or that the recipe cannot train, and what ``read_start`` raises.
    """
    from harness.llm.catalogue import resolve_model
    from methods.parametric_qa.train.checks import check_entry, check_recipe
    from methods.parametric_qa.train.recipe import read_recipe
    from methods.parametric_qa.train.start import read_start

    recipe = read_recipe(name).changed(changes)
    check_recipe(recipe)
    config = resolve_model(recipe.model)
    if config.kind != "transformers":
        raise ConfigError(
            f"model '{config.name}' cannot be trained; take a local transformers model"
        )
    check_entry(recipe, config)
    read_start(recipe, config)
    return recipe
