"""Options, the console and checks that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.boards.config import Board


PLUGIN_HELP = "Module or .py file with METHODS, TASKS, BOARDS, …"
Plugins = Annotated[list[str] | None, typer.Option("--plugin", help=PLUGIN_HELP)]
RunsFolder = Annotated[Path, typer.Argument(help="Folder of runs (the --out of 'run').")]
Model = Annotated[str | None, typer.Option(help="Catalogue name, hf:ORG/NAME, path:…")]
RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="Ask again what is recorded as an error.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")]


def console() -> Console:
    """Where progress is shown: standard error."""
    from rich.console import Console

    return Console(stderr=True)


def load_plugins(plugins: list[str] | None) -> None:
    """Import what ``--plugin`` names."""
    from harness.registry import load_plugin

    for plugin in plugins or []:
        load_plugin(plugin)


def check_writable(folder: Path) -> None:
    """Try before anything is loaded, and leave nothing behind."""
    import tempfile

    from harness.files import writing

    place = folder.absolute()
    while not place.exists() and not place.is_symlink():
        place = place.parent
    with writing(folder), tempfile.TemporaryFile(dir=place):
        pass


def run_all(
    board: Board, out: Path, device: str | None, batch_size: int | None, retry_errors: bool
) -> bool:
    """Prepare and run all of a board; whether there was any run."""
    from harness.boards.preparation import Work
    from harness.boards.prepare import prepare, resolve
    from harness.boards.run import load_data, plan_runs, run_board

    screen = console()

    def make(name: str, work: Work, folder: Path) -> None:
        typer.echo(f"preparing {name}", err=True)
        work.make(folder, device, screen)

    check_writable(out)
    resolved = resolve(board, out)
    # Before anything is prepared, which may take an hour: files may be missing.
    data = load_data(resolved) if resolved.methods else []
    prepare(resolved, out, make)
    plans = list(plan_runs(resolved, device, data, retry_errors=retry_errors))
    run_board(plans, out, screen, batch_size=batch_size, device=device)
    return bool(plans)
