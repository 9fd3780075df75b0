"""Tasks as the commands of Parametric QA name them: by name or card, or by files of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import ConfigError


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
