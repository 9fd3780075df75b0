"""The command ``evaluate-update``: what methods answer after facts have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.common import (
    CorpusFile,
    DataDir,
    Device,
    Model,
    Plugins,
    Questions,
    Revision,
    Split,
    TrainFile,
    console,
    load_plugins,
    task_place,
    task_values,
)
from harness.files import check_writable
from harness.report import checked_options, given, save
from methods.cli.entries import TEXT, Methods, method_entries
from methods.options import MEMORY, OneTask, Param, SharedParts


def evaluate_update(
    method: Methods = None,
    param: Param = None,
    task: OneTask = "nq",
    split: Split = None,
    questions: Questions = None,
    train: TrainFile = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    facts: Annotated[int, typer.Option(help="How many facts change.")] = 50,
    unchanged: Annotated[
        int, typer.Option(help="Questions about documents that do not change, at most.")
    ] = 50,
    documents: Annotated[
        int | None,
        typer.Option(help="Corpus of N passages, those that are asked about among them."),
    ] = None,
    shared: SharedParts = None,
    steps: Annotated[
        int | None, typer.Option(help=f"Optimisation steps on a code of {MEMORY}, 0 to 1000.")
    ] = None,
    text: Annotated[
        bool, typer.Option(help=f"Without --method: also {TEXT} over text changed likewise.")
    ] = True,
    model: Model = None,
    seed: Annotated[int, typer.Option(help="Of the facts and demonstrations.")] = 0,
    device: Device = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for facts.csv, unchanged.csv, changes.csv, summary.json."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Change facts in the documents of methods and ask for them.

    A document is overwritten, deleted, or joined by one that contradicts it. With --out, what an
    interrupted call has answered is kept, and the same command goes on.
    """
    from dataclasses import asdict

    from harness.boards.changing import updating
    from harness.boards.changing.updating_table import summary, tables

    load_plugins(plugin)
    if out is not None:
        check_writable(out)
    own: dict[str, Any] = given(shared=shared, steps=steps)
    values = given(
        task={"name": task_place(task)}
        | task_values(split, questions, train, corpus, data_dir, revision),
        methods=method_entries(
            method, param, own, [MEMORY, TEXT] if text else [MEMORY], model
        ),
        facts=facts, unchanged=unchanged, documents=documents, model=model, seed=seed,
        device=device,
    )  # fmt: skip
    options = checked_options(updating.UpdateOptions, values)
    found = updating.evaluate_update(options, console(), out)
    counted = summary(found)
    if out is not None:
        records = {
            "facts": [asdict(record) for record in found.records],
            "unchanged": [asdict(record) for record in found.kept],
            "changes": [asdict(change) for change in found.changes],
        }
        save(out, records, counted)
    typer.echo(tables(found, counted))
