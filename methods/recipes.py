"""Recipes: how parts are trained. YAML into validated models; unknown keys are errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.boards.file import task_beside
from harness.boards.task_entry import TaskSource
from harness.data.yaml import load_yaml
from harness.errors import ConfigError, InputError, did_you_mean, problem_of


class Part(BaseModel):
    """A recipe, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskRecipe(Part):
    """What every recipe says that trains on tasks."""

    name: str
    model: str | dict[str, Any]
    tasks: tuple[TaskSource, ...] = Field(
        min_length=1, description="names, or entries as a board has them"
    )

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The recipe with other values; ``{"tuning": {"rank": 8}}`` leaves the rest of tuning.

        Raises ConfigError naming the value that is refused.
        """
        own: dict[str, Any] = {**dict(self), **changes}
        for key, value in changes.items():
            before = getattr(self, key, None)
            if isinstance(before, BaseModel) and isinstance(value, Mapping):
                own[key] = {**before.model_dump(), **value}
        return parsed(type(self), own, f"recipe '{self.name}'")


_Recipe = TypeVar("_Recipe", bound=Part)
_OnTasks = TypeVar("_OnTasks", bound=TaskRecipe)


def read(kind: type[_OnTasks], name: str, shipped: Path) -> _OnTasks:
    """A shipped recipe by name, or a YAML file, beside which its tasks' files are.

    Errors name the file, the key and the fix.
    """
    path = _path(name, shipped)
    recipe = parsed(kind, values_of(name, shipped), str(path))
    tasks = tuple(task_beside(task, path) for task in recipe.tasks)
    return recipe.model_copy(update={"tasks": tasks})


def values_of(name: str, shipped: Path) -> Any:
    """What the YAML of a shipped recipe or of a file holds. Raises InputError if there is none."""
    path = _path(name, shipped)
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = sorted(p.stem for p in shipped.glob("*.yaml"))
        raise InputError(f"no recipe '{name}'{did_you_mean(name, known)}") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error


def parsed(kind: type[_Recipe], values: Any, source: str) -> _Recipe:
    """A recipe of its values; ``source`` begins the error."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = problem_of(error)
        raise ConfigError(f"{source}: '{found.where}': {found.message}") from error


def _path(name: str, shipped: Path) -> Path:
    return Path(name) if name.endswith((".yaml", ".yml")) else shipped / f"{name}.yaml"
