"""What several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.boards.run import Board

Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Module or .py file with METHODS, TASKS or BOARDS."),
]


def console() -> Console:
    """Where progress is shown: standard error."""
    from rich.console import Console

    return Console(stderr=True)


def load_plugins(plugins: list[str] | None) -> None:
    """Import what --plugin names."""
    from harness.registry import load_plugin

    for plugin in plugins or []:
        load_plugin(plugin)


def update(board: Board, updates: dict[str, Any]) -> Board:
    """The board with options of the command line in place of its own values; None changes none."""
    from harness.boards.run import parse_board

    given = {key: value for key, value in updates.items() if value is not None}
    if "latency" in given:
        given["latency"] = {**board.latency.model_dump(), **given["latency"]}
    tasks = [task.model_dump() for task in board.tasks]
    if "limit" in given:
        tasks = [{**task, "limit": None} for task in tasks]
    if "documents" in given:
        documents = given.pop("documents")
        tasks = [{**task, "documents": documents} for task in tasks]
    given["tasks"] = tasks
    return parse_board({**board.model_dump(), **given}, "command line")


def check_writable(folder: Path) -> None:
    """Try before anything is loaded, and leave nothing behind."""
    import tempfile

    from harness.files import writing

    place = folder.absolute()
    while not place.exists() and not place.is_symlink():
        place = place.parent
    with writing(folder), tempfile.TemporaryFile(dir=place):
        pass
