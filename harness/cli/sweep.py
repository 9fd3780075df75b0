"""The command ``sweep``: a board's grid, shown or run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import (
    BatchSize,
    Device,
    LeaveOutTrained,
    Limit,
    Model,
    Plugins,
    RetryErrors,
    RunsOut,
    load_plugins,
    run_all,
)
from harness.errors import ConfigError


def sweep(
    board: Annotated[str, typer.Argument(help="Board name or YAML file with a 'grid'.")],
    out: RunsOut = Path("runs"),
    list_only: Annotated[
        bool, typer.Option("--list", help="Print the methods and their parameters; run nothing.")
    ] = False,
    limit: Limit = None,
    leave_out_trained: LeaveOutTrained = False,
    model: Model = None,
    device: Device = None,
    retry_errors: RetryErrors = False,
    batch_size: BatchSize = None,
    plugin: Plugins = None,
) -> None:
    """Run a board whose grid varies the parameters of one of its methods.

    Finished runs are kept; an interrupted one continues where it stopped.
    """
    from harness.boards.config import parse_changes
    from harness.boards.file import read_board
    from harness.boards.sweep import expand, line

    load_plugins(plugin)
    chosen = read_board(board)
    if chosen.grid is None:
        raise ConfigError(
            f"board '{chosen.name}' has no grid to sweep; add one, such as grid: "
            "{method: bm25, params: {k: [3, 10]}}, or use 'memory-harness run'"
        )
    changes = parse_changes(
        {
            "models": (model,) if model else None,
            "limit": limit,
            "leave_out_trained": leave_out_trained or None,
        }
    )
    expanded = expand(chosen.changed(changes))
    if list_only:
        for entry in expanded.methods:
            typer.echo(line(entry))
        return
    run_all(expanded, out, device, batch_size, retry_errors)
    typer.echo(f"next: memory-harness leaderboard {out}", err=True)
