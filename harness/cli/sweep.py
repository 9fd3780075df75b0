"""The command ``sweep``: a board's grid, shown or run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import Plugins, check_writable, console, load_plugins, update
from harness.cli.prepare import prepared
from harness.errors import ConfigError


def sweep(
    board: Annotated[str, typer.Argument(help="Board name or YAML file with a 'grid'.")],
    out: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs"),
    list_only: Annotated[
        bool, typer.Option("--list", help="Print the methods and their parameters; run nothing.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Only the first N questions.")] = None,
    model: Annotated[str | None, typer.Option(help="Catalogue name, hf:ORG/NAME, path:…")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Prompts per model batch.", min=1)] = None,
    plugin: Plugins = None,
) -> None:
    """Run a board whose grid varies the parameters of one of its methods.

    Finished runs are kept; an interrupted one continues where it stopped.
    """
    from harness.boards.run import plan_runs, read_board, run_board
    from harness.boards.sweep import expand, line

    load_plugins(plugin)
    chosen = read_board(board)
    if chosen.grid is None:
        raise ConfigError(
            f"board '{chosen.name}' has no grid to sweep; add one, such as grid: "
            "{method: bm25, params: {k: [3, 10]}}, or use 'memory-harness run'"
        )
    changes = {"models": (model,) if model else None, "limit": limit}
    expanded = expand(update(chosen, changes))
    if list_only:
        for entry in expanded.methods:
            typer.echo(line(entry))
        return
    check_writable(out)
    plans = list(plan_runs(prepared(expanded, out, device), device))
    run_board(plans, out, console(), batch_size=batch_size, device=device)
    typer.echo(f"next: memory-harness leaderboard {out}", err=True)
