"""The command ``evaluate-dimensions``: what single numbers and slots of a code do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import Device, Model, console
from harness.files import check_writable
from harness.report import save
from methods.options import SharedParts, SourceRows


def evaluate_dimensions(
    task: Annotated[str, typer.Option(help="One of those that the shared parts were trained on.")],
    shared: SharedParts = None,
    limit: Annotated[
        int, typer.Option(help="Held-out questions at most: a fixed random sample.", min=2)
    ] = 40,
    groups: Annotated[
        int, typer.Option(help="Equal parts of a slot's numbers, each zeroed once.", min=1)
    ] = 16,
    single: Annotated[
        int, typer.Option(help="Numbers that are zeroed alone: those that vary most.", min=0)
    ] = 8,
    rows: SourceRows = None,
    model: Model = None,
    device: Device = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for ablation.csv, questions.csv, summary.json.")
    ] = None,
) -> None:
    """Ask train questions that training held out of memories parts of which are zero.

    Not for shared parts whose codes are tokens of the text.
    """
    from harness.llm.catalogue import DEFAULT_MODEL
    from harness.meters.hardware import set_torch_threads
    from methods.parametric_qa.evaluate import dimensions
    from methods.parametric_qa.evaluate.dimensions_table import lines, records, table
    from methods.parametric_qa.evaluate.evaluate_write import local_entry, open_local
    from methods.parametric_qa.evaluate.held_out import read_held_out
    from methods.parametric_qa.reader import DEFAULT_SHARED

    if out is not None:
        check_writable(out)
    name = model or DEFAULT_MODEL
    held = read_held_out(shared or DEFAULT_SHARED, task, limit, local_entry(name), rows)
    dimensions.check_groups(held.bundle, groups)
    set_torch_threads()
    llm = open_local(name, device)
    found = dimensions.evaluate_dimensions(llm, held, groups, single, console())
    if out is not None:
        save(out, {"ablation": lines(found), "questions": records(found)}, {"facts": found.facts})
    typer.echo(table(found))
