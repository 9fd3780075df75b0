"""The command ``evaluate-forgetting``: what training a memory's reader cost the model."""

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
from methods.parametric_qa.cli.tasks import task_entries


def evaluate_forgetting(
    shared: Annotated[
        str | None, typer.Option(help="Shared parts: a shipped name or a folder.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Task; repeat for more (default nq, triviaqa).")
    ] = None,
    split: Split = None,
    questions: Questions = None,
    train: TrainFile = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    limit: Annotated[
        int, typer.Option(help="Questions of each task: a fixed random sample, by the hash of ids.")
    ] = 100,
    passages: Annotated[int, typer.Option(help="Held-out passages of each task.")] = 100,
    after: Annotated[
        str | None, typer.Option(help="A fully tuned model instead, path:FOLDER/model.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model before: a name, path:…")] = None,
    seed: Annotated[int, typer.Option(help="Of the demonstrations.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for questions.csv, passages.csv, summary.json.")
    ] = None,
) -> None:
    """Compare a model before and after its reader was trained, without any memory.

    Closed-book answers to evaluated questions, and perplexity of passages that training left out.
    """
    from dataclasses import asdict

    from methods.parametric_qa.evaluate import forgetting
    from methods.parametric_qa.evaluate.forgetting_table import lines, table

    if out is not None:
        check_writable(out)
    task_of = task_values(split, questions, train, corpus, data_dir, revision)
    values = given(
        tasks=task_entries(task, task_of), limit=limit, passages=passages, shared=shared,
        after=after, model=model, seed=seed, device=device,
    )  # fmt: skip
    options = checked_options(forgetting.ForgettingOptions, values)
    found = forgetting.evaluate_forgetting(options, console())
    rows = lines(found)
    if out is not None:
        tables = {
            "questions": [asdict(record) for record in found.questions],
            "passages": [asdict(record) for record in found.passages],
        }
        save(out, tables, {"facts": found.facts, "summary": rows})
    typer.echo(table(found, rows))
