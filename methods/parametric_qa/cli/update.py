"""The command ``evaluate-update``: what is answered after facts have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import (
    CorpusFile,
    DataDir,
    Questions,
    Revision,
    Split,
    TrainFile,
    console,
    task_values,
)
from harness.files import check_writable
from harness.report import checked_options, given, save
from methods.parametric_qa.cli.tasks import task_entry


def evaluate_update(
    task: Annotated[str, typer.Option(help="Task whose questions and corpus are used.")] = "nq",
    split: Split = None,
    questions: Questions = None,
    train: TrainFile = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    facts: Annotated[int, typer.Option(help="How many facts change.")] = 50,
    shared: Annotated[
        str | None, typer.Option(help="Shared parts: a shipped name or a folder.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimisation steps on a code, 0 to 1000.")] = 0,
    text: Annotated[bool, typer.Option(help="Also BM25 over text changed likewise.")] = True,
    model: Annotated[str | None, typer.Option(help="Catalogue name, hf:ORG/NAME, path:…")] = None,
    seed: Annotated[int, typer.Option(help="Of the facts and demonstrations.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for facts.csv, changes.csv, summary.json.")
    ] = None,
) -> None:
    """Change facts in memories (and in text) and ask for them.

    A document is overwritten, deleted, or joined by one that contradicts it.
    """
    from dataclasses import asdict

    from methods.parametric_qa.evaluate import updating
    from methods.parametric_qa.evaluate.updating_table import summary, tables

    if out is not None:
        check_writable(out)
    task_of = task_values(split, questions, train, corpus, data_dir, revision)
    values = given(
        task=task_entry(task, task_of),
        facts=facts, shared=shared, steps=steps, text=text, model=model, seed=seed,
        device=device,
    )  # fmt: skip
    found = updating.evaluate_update(checked_options(updating.UpdateOptions, values), console())
    counted = summary(found)
    if out is not None:
        records = {
            "facts": [asdict(record) for record in found.records],
            "changes": [asdict(change) for change in found.changes],
        }
        save(out, records, counted)
    typer.echo(tables(found, counted))
