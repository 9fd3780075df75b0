"""The command ``evaluate-forgetting``: what methods cost the model, and documents a memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    task_values,
)
from harness.errors import ConfigError
from harness.files import check_writable
from harness.report import checked_options, given, save
from methods.cli.entries import ALL, method_entries
from methods.options import MEMORY, Param, SharedParts, task_entries

_TASKS = [{"name": "nq"}, {"name": "triviaqa"}]


def evaluate_forgetting(
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help=f"A method; repeat for more; {ALL}: every one that the model serves. Without it: "
            f"the reader of {MEMORY} alone, asked also as it was tuned.",
        ),
    ] = None,
    param: Param = None,
    shared: SharedParts = None,
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
    documents: Annotated[
        int | None,
        typer.Option(help="With --method: the memory's at first, gold in them, and as many added."),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(help="Without --method: a fully tuned model instead, path:FOLDER/model."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model before: a name, path:…")] = None,
    seed: Annotated[int, typer.Option(help="Of the demonstrations.")] = 0,
    device: Device = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for questions.csv, passages.csv, summary.json.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Compare a model before and after a method's weights are in force, and a memory as it grows.

    Closed-book answers to evaluated questions, and perplexity of passages that nothing was trained
    on; with --method also questions about old documents, before and after others are added. With
    --out, what an interrupted call has answered is kept, and the same command goes on.
    """
    from dataclasses import asdict

    load_plugins(plugin)
    if out is not None:
        check_writable(out)
    task_of = task_values(split, questions, train, corpus, data_dir, revision)
    values = given(
        tasks=task_entries(task, task_of), limit=limit, passages=passages, model=model, seed=seed,
        device=device,
    )  # fmt: skip
    if method:
        if after is not None:
            raise ConfigError("--after is a model in the place of a method; leave --method out")
        entries = method_entries(method, param, given(shared=shared), [], model)
        sized = given(documents=documents)
        whole = {"tasks": _TASKS, **values, **sized, "methods": entries}
        found, rows, shown = _of_methods(whole, out)
    else:
        if param:
            raise ConfigError("-p: of which method? Name it: --method NAME")
        if documents is not None:
            raise ConfigError("--documents: of which method's memory? Name it: --method NAME")
        found, rows, shown = _of_reader({**values, **given(shared=shared, after=after)}, out)
    if out is not None:
        tables = {
            "questions": [asdict(record) for record in found.questions],
            "passages": [asdict(record) for record in found.passages],
        }
        save(out, tables, {"facts": found.facts, "summary": rows})
    typer.echo(shown)


def _of_methods(values: dict[str, Any], out: Path | None) -> tuple[Any, list[dict[str, Any]], str]:
    from harness.boards.changing import forgetting
    from harness.boards.changing.forgetting_table import lines, table

    options = checked_options(forgetting.ForgettingOptions, values)
    found = forgetting.evaluate_forgetting(options, console(), out)
    rows = lines(found)
    return found, rows, table(found, rows)


def _of_reader(values: dict[str, Any], out: Path | None) -> tuple[Any, list[dict[str, Any]], str]:
    from methods.parametric_qa.evaluate import forgetting
    from methods.parametric_qa.evaluate.forgetting_table import lines, table

    options = checked_options(forgetting.ForgettingOptions, values)
    found = forgetting.evaluate_forgetting(options, console(), out)
    rows = lines(found)
    return found, rows, table(found, rows)
