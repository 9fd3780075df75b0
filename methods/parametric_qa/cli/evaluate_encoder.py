"""The command ``evaluate-encoder``: what a trained encoder adds to span codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import Device, Model
from harness.files import check_writable
from harness.report import save
from methods.options import SourceRows


def evaluate_encoder(
    shared: Annotated[str, typer.Option(help="Shared parts with an encoder: a name or a folder.")],
    questions: Annotated[int, typer.Option(help="Held-out questions, at most.", min=2)] = 150,
    rows: SourceRows = None,
    model: Model = None,
    device: Device = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for questions.csv, summary.json.")
    ] = None,
) -> None:
    """Ask train questions that training held out, of an encoder's memories and of span means."""
    from harness.llm.catalogue import DEFAULT_MODEL
    from harness.meters.hardware import set_torch_threads
    from methods.parametric_qa.evaluate import encoder
    from methods.parametric_qa.evaluate.encoder_table import lines, table
    from methods.parametric_qa.evaluate.evaluate_write import local_entry, open_local

    if out is not None:
        check_writable(out)
    name = model or DEFAULT_MODEL
    trained = encoder.read_trained(shared, rows, local_entry(name))
    set_torch_threads()
    found = encoder.evaluate_encoder(open_local(name, device), trained, questions)
    if out is not None:
        save(out, {"questions": found.rows()}, {"facts": found.facts, "lines": lines(found)})
    typer.echo(table(found))
