"""The command ``evaluate-retrieval``: which gold passages methods find, without an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import (
    CorpusFile,
    DataDir,
    Device,
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
from methods.cli.entries import TEXT, method_entries
from methods.options import OneTask, Param


def evaluate_retrieval(
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help=f"A method (default {TEXT}); repeat for more, compared with the first.",
        ),
    ] = None,
    param: Param = None,
    task: OneTask = "musique",
    split: Split = None,
    questions: Questions = None,
    train: TrainFile = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    limit: Annotated[
        int | None, typer.Option(help="Questions: a fixed random sample, by the hash of ids.")
    ] = None,
    k: Annotated[int, typer.Option(help="Passages that are found for a question.")] = 5,
    model: Annotated[
        str | None,
        typer.Option(help="For methods that ask one as they write or search: a name, path:…"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of controls that permute.")] = 0,
    device: Device = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for questions.csv and summary.json.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Measure which gold passages methods find, without a model writing answers.

    Of every method that has a ``find``: one whose search ends before the model reads.
    """
    from dataclasses import asdict

    from harness.boards import finding

    load_plugins(plugin)
    if out is not None:
        check_writable(out)
    entries = method_entries(method, param, {}, [TEXT])
    values = given(
        task={"name": task_place(task)}
        | task_values(split, questions, train, corpus, data_dir, revision),
        methods=[{**entry, "params": {"k": k, **entry["params"]}} for entry in entries],
        k=k, limit=limit, model=model, seed=seed, device=device,
    )  # fmt: skip
    facts, found = finding.evaluate_finding(
        checked_options(finding.FindingOptions, values), console()
    )
    lines = finding.summary(found)
    if out is not None:
        rows = [
            asdict(row) | {key: " ".join(getattr(row, key)) for key in ("gold_ids", "found_ids")}
            for row in found
        ]
        save(out, {"questions": rows}, {"facts": facts, "summary": lines})
    typer.echo(finding.table(facts, lines))
