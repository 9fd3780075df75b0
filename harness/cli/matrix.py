"""The command ``matrix``: which method runs on which backend."""

from __future__ import annotations

import typer

from harness.cli.common import Plugins, load_plugins


def matrix(plugin: Plugins = None) -> None:
    """Print which method runs on which backend, from what each declares."""
    import pandas as pd

    from harness.boards import matrix as matrices
    from harness.escape import markdown_text
    from harness.llm.backends import BACKENDS

    load_plugins(plugin)
    for backend in BACKENDS:
        typer.echo(f"- {backend.name}: {backend.models}.")
    rows = [[markdown_text(text) for text in row] for row in matrices.matrix()]
    heads = ["method", *(backend.name for backend in BACKENDS)]
    table = pd.DataFrame(rows, columns=heads).to_markdown(index=False, disable_numparse=True)
    typer.echo(f"\n{table}")
