"""Options that commands of methods share, and the tasks that these name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli.common import TASK_HELP
from harness.errors import ConfigError

MEMORY = "parametric-qa"
"""The method that some options are of."""

Param = Annotated[list[str] | None, typer.Option("-p", help="Parameter of the one method, k=10.")]
OneTask = Annotated[str, typer.Option(help=f"Whose questions and corpus are used. {TASK_HELP}")]
SharedParts = Annotated[
    str | None, typer.Option(help=f"Shared parts of {MEMORY}: a shipped name or a folder.")
]
SourceRows = Annotated[
    Path | None, typer.Option(help="Folder of the recipe's sources, SOURCE.jsonl.gz.")
]

RecipeName = Annotated[str, typer.Argument(help="A shipped recipe or a YAML file.")]
OtherTasks = Annotated[
    list[str] | None,
    typer.Option(help=f"Other tasks than the recipe's; repeat for more. {TASK_HELP}"),
]
OtherModel = Annotated[str | None, typer.Option(help="Another model than the recipe's.")]
OtherSeed = Annotated[int | None, typer.Option(help="Another seed.", min=0)]


def task_entry(name: str | None, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """A task's entry by the command's options; None if they name none. Raises ConfigError."""
    if name is None:
        if values:
            raise ConfigError("split and files are of a task; name it: --task NAME")
        return None
    return {"name": name, **values}


def task_entries(
    names: Sequence[str] | None, values: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """The like for a command that takes several tasks; files are then those of a single one."""
    if names and len(names) > 1 and values:
        raise ConfigError("split and files are of one task; give one --task, or a recipe's tasks")
    entries = [task_entry(name, values) for name in names or (None,)]
    return [entry for entry in entries if entry] or None
