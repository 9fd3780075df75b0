"""The command ``map-memories``: t-SNE or UMAP of what a method wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from harness.cli.common import (
    CorpusFile,
    DataDir,
    Device,
    Model,
    Questions,
    Revision,
    Split,
    TrainFile,
    task_values,
)
from harness.errors import ConfigError
from harness.escape import csv_text
from harness.files import check_writable
from harness.report import given
from methods.options import task_entry

_LABELS = {"z": "mean z", "map": "the map", "words": "TF-IDF of the text", "chance": "chance"}


def map_memories(
    task: Annotated[str, typer.Option(help="Task whose corpus is mapped.")],
    out: Annotated[Path, typer.Option(help="Folder for the picture and its data.")],
    shared: Annotated[str | None, typer.Option(help="Shared parts (default: shipped).")] = None,
    split: Split = None,
    questions: Questions = None,
    train: TrainFile = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    documents: Annotated[int | None, typer.Option(help="How many (default: all).", min=1)] = None,
    projection: Annotated[str, typer.Option(help="tsne or umap.")] = "tsne",
    model: Model = None,
    seed: Annotated[int, typer.Option(help="Of the projection.")] = 0,
    device: Device = None,
) -> None:
    """Map memories in two dimensions; do passages of one article lie together?"""
    from harness.boards.task_entry import TaskSource
    from methods.parametric_qa.evaluate import memory_map
    from methods.parametric_qa.evaluate.memory_map_files import save_map

    if projection not in get_args(memory_map.Projection):
        raise ConfigError(f"--projection {projection}: take tsne or umap")
    check_writable(out)
    entry = task_entry(task, task_values(split, questions, train, corpus, data_dir, revision))
    source = TaskSource.model_validate(entry)
    found = memory_map.map_memories(
        source, documents=documents, projection=cast(memory_map.Projection, projection), seed=seed,
        device=device, **given(shared=shared, model=model),
    )  # fmt: skip
    paths = save_map(found, out, csv_text)
    typer.echo("Documents whose nearest neighbour is of the same article, of those that have one:")
    for name, label in _LABELS.items():
        typer.echo(f"  {label:20} {found.same_title[name]:6.1%}")
    typer.echo(f"written: {', '.join(path.name for path in paths)} in {out}", err=True)
