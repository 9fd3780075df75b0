"""The command ``record-training``: which questions shared parts learnt from."""

from __future__ import annotations

from typing import Annotated

import typer


def record_training(
    shared: Annotated[str, typer.Argument(help="Shared parts: a shipped name or a folder.")],
) -> None:
    """Note which questions shared parts learnt from, for parts trained before this was noted.

    Reads the tasks of their recipe again, which must hold what they held; trains nothing.
    """
    from methods.parametric_qa.shared.bundle import find_bundle
    from methods.parametric_qa.train import account

    folder = find_bundle(shared)
    for task, count in account.record_training(folder).items():
        typer.echo(f"{task}: {count} questions")
    typer.echo(f"written to {folder}", err=True)
