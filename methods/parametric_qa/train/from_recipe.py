"""What the command line calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console


def train(
    recipe: str, out: Path, changes: dict[str, Any], device: str | None, console: Console
) -> Iterator[str]:
    """Train by a recipe with some of its values changed; yields what validation found.

    Raises ConfigError naming a change that the recipe refuses.
    """
    from harness.llm.catalogue import resolve_model
    from harness.llm.local import LocalModel
    from harness.llm.open import open_model
    from harness.meters.hardware import default_device, set_torch_threads
    from methods.parametric_qa.train.curves import read_curves
    from methods.parametric_qa.train.recipe import read_recipe
    from methods.parametric_qa.train.training import check_recipe
    from methods.parametric_qa.train.training import train as train_parts
    from methods.parametric_qa.train.training_data import shipped_task

    plan = read_recipe(recipe).changed(changes)
    check_recipe(plan)
    tasks = [shipped_task(name) for name in plan.tasks]
    set_torch_threads()
    llm = open_model(resolve_model(plan.model).on(device or default_device()), device=device)
    if not isinstance(llm, LocalModel):
        raise ConfigError(f"model '{llm.name}' cannot be trained; take a local transformers model")
    train_parts(plan, llm, tasks, out, console)
    last = {measure: (step, value) for step, measure, value, _ in read_curves(out / "curves.csv")}
    for measure, (step, value) in last.items():
        if measure.startswith("validation"):
            yield f"{measure}, step {step}: {value:.3f}"
