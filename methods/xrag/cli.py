"""The command ``train-bridge``: a bridge from an encoder to a model, by a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from harness.files import check_writable, write_json
from harness.report import given
from methods.options import OtherModel, OtherSeed, OtherTasks, RecipeName, task_entries

if TYPE_CHECKING:
    from rich.console import Console

MEASURED = "validation.json"


def train_bridge(
    recipe: RecipeName,
    out: Annotated[Path, typer.Option(help="Folder for the bridge.")],
    task: OtherTasks = None,
    split: Split = None,
    questions: Questions = None,
    train: TrainFile = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    model: OtherModel = None,
    encoder: Annotated[str | None, typer.Option(help="Another dense encoder.")] = None,
    seed: OtherSeed = None,
    device: Device = None,
) -> None:
    """Train the bridge of xrag; the same command continues where it was.

    Learns from train questions and from passages that no evaluated question needs, and notes which
    questions: a run that asks one of them stops. Use the result with -p bridge=FOLDER.
    """
    check_writable(out)
    values = task_values(split, questions, train, corpus, data_dir, revision)
    entries = task_entries(task, values)
    changes = given(model=model, encoder=encoder, seed=seed, tasks=entries)
    for line in trained(recipe, out, changes, device, console()):
        typer.echo(line)
    typer.echo(f"use it: memory-harness run … --method xrag -p bridge={out}", err=True)


def trained(
    name: str, out: Path, changes: Mapping[str, Any], device: str | None, shown: Console
) -> Iterator[str]:
    """Train by a recipe with some of its values changed; tells what held-out questions say.

    That is in ``validation.json``, too, of the model as it answers: not in the type of training.
    Raises ConfigError naming a change that the recipe refuses.
    """
    from harness.boards.learnt import learnt_by
    from harness.errors import ConfigError
    from harness.llm.catalogue import resolve_model
    from harness.llm.local import LocalModel
    from harness.llm.open import open_model
    from harness.meters.hardware import default_device, set_torch_threads
    from harness.retrieval.catalogue import encoder_entry
    from harness.retrieval.encoders import open_encoder
    from methods.parametric_qa.train.training_data import read_training_tasks
    from methods.xrag.bridge import Bridge
    from methods.xrag.measuring import measure
    from methods.xrag.recipe import read_recipe
    from methods.xrag.training import check, train

    plan = read_recipe(name).changed(changes)
    config = resolve_model(plan.model).on(device or default_device())
    if config.kind != "transformers":
        raise ConfigError(
            f"model '{config.name}' shows no weights; take a local transformers model"
        )
    encoder_entry(plan.encoder)
    tasks = read_training_tasks(plan.tasks)
    check(plan, config, tasks)
    set_torch_threads()
    encoder = open_encoder(plan.encoder, device=device)
    llm = open_model(config, device=device)
    assert isinstance(llm, LocalModel)  # by its kind
    train(plan, llm, encoder, tasks, out, shown, learnt_by(config))
    llm.close()
    llm = open_model(config, device=device)
    assert isinstance(llm, LocalModel)
    found = measure(llm, Bridge.load(out), encoder, tasks, plan.measured)
    write_json(out / MEASURED, found)
    yield from told(found)


def told(found: Mapping[str, Any]) -> Iterator[str]:
    """What ``measure`` found, as lines."""
    yield f"held-out train questions: {found['questions']}"
    for read, value in found["f1"].items():
        yield f"  {read}: F1 {100 * value:.1f}, loss {found['loss'][read]:.3f}"
    for read, pairs in found["against"].items():
        for name, scale, digits in (("f1", 100, 1), ("loss", 1, 3)):
            values = (pairs[name]["difference"], *pairs[name]["interval"])
            mean, low, high = (f"{scale * value:+.{digits}f}" for value in values)
            yield f"  own vector less {read}: {name} {mean} [{low}, {high}]"
