"""The command ``evaluate-write``: what can be read out of the memories of a few passages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    console,
    task_values,
)
from harness.files import check_writable
from harness.report import checked_options, given, save
from methods.options import task_entry

if TYPE_CHECKING:
    from methods.parametric_qa.evaluate.evaluate_write import EvaluateOptions


def evaluate_write(
    task: Annotated[str, typer.Option(help="Task whose corpus gives the passages.")],
    passages: Annotated[int, typer.Option(help="How many to write.")] = 16,
    split: Split = None,
    questions: Questions = None,
    train: TrainFile = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    slots: Annotated[int | None, typer.Option(help="Vectors of a memory (default 8).")] = None,
    z_dim: Annotated[int | None, typer.Option(help="Dimension of a vector (default: all).")] = None,
    init: Annotated[str, typer.Option(help="random, spans or encoder.")] = "random",
    steps: Annotated[int, typer.Option(help="Optimisation steps, 0 to 1000.")] = 120,
    learning_rate: Annotated[
        float | None, typer.Option(help="In standard deviations of a code's numbers.")
    ] = None,
    anchor: Annotated[float, typer.Option(help="Weight of staying near the first code.")] = 0.0,
    stop_below: Annotated[float, typer.Option(help="Loss at which a passage is done.")] = 0.0,
    max_tokens: Annotated[int | None, typer.Option(help="Cut passages to so many.")] = None,
    shared: Annotated[Path | None, typer.Option(help="Folder of trained shared parts.")] = None,
    model: Model = None,
    seed: Annotated[int, typer.Option(help="Of random first codes.")] = 0,
    device: Device = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for documents.csv, summary.json.")
    ] = None,
) -> None:
    """Write a few passages into memories and measure what can be read out of them."""
    from methods.parametric_qa.evaluate.evaluate_write import EvaluateOptions

    if out is not None:
        check_writable(out)
    settings = given(steps=steps, learning_rate=learning_rate, anchor=anchor, stop_below=stop_below)
    task_of = task_values(split, questions, train, corpus, data_dir, revision)
    values = given(
        task=task_entry(task, task_of), passages=passages, slots=slots, z_dim=z_dim, init=init,
        settings=settings, shared=shared, seed=seed, max_tokens=max_tokens, device=device,
        model=model,
    )  # fmt: skip
    typer.echo(evaluated(checked_options(EvaluateOptions, values), out))


def evaluated(options: EvaluateOptions, out: Path | None) -> str:
    """Write and measure; the table, and files in ``out``."""
    from methods.parametric_qa.evaluate import evaluate_write
    from methods.parametric_qa.evaluate.evaluate_write_table import summary, table

    evaluation = evaluate_write.evaluate_write(options, out, console())
    if out is not None:
        save(out, {"documents": evaluation.rows()}, summary(evaluation))
    return table(evaluation)
