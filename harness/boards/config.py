"""What a board file may say: its keys, and errors that name the file, the key and the fix."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.boards.task_entry import TaskFiles
from harness.errors import ConfigError, InputError, did_you_mean
from harness.llm.catalogue import DEFAULT_MODEL
from harness.registry import board_file


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskEntry(_Entry):
    """A task of a board: a name of the table, or local files under a name of one's own."""

    name: str
    split: str = "sample"
    limit: int | None = Field(None, ge=1)
    documents: int | None = Field(None, ge=1, description="size of a sub-pool with all gold")
    files: TaskFiles = TaskFiles()


class MethodEntry(_Entry):
    """A method of a board with its parameters."""

    name: str
    params: dict[str, Any] = {}


class LatencyEntry(_Entry):
    """How many single queries are timed, after how many unmeasured ones."""

    queries: int = Field(50, ge=0)
    warmup: int = Field(5, ge=0)


class GridEntry(_Entry):
    """Variants of one of the board's methods: each value alone, or every combination."""

    method: str
    vary: Literal["one-at-a-time", "all"] = "one-at-a-time"
    params: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(min_length=1)


class Preparation(_Entry):
    """Work before the runs: shared parts trained by a recipe, or memories written and evaluated."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    name: str
    train: str | None = Field(None, description="a recipe")
    changes: dict[str, Any] = Field({}, description="values in place of the recipe's")
    evaluate_write: dict[str, Any] | None = Field(
        None, alias="evaluate-write", description="options of the command evaluate-write"
    )

    @model_validator(mode="after")
    def _one_kind_of_work(self) -> Any:
        if (self.train is None) == (self.evaluate_write is None):
            raise ValueError("give either 'train' (a recipe) or 'evaluate-write' (its options)")
        if self.changes and self.train is None:
            raise ValueError("'changes' are of a recipe; give 'train'")
        return self


class Board(_Entry):
    """Methods x tasks x models x seeds. ``limit`` applies to tasks that set none of their own.

    ``methods`` may be empty if the board only prepares.
    """

    name: str
    description: str = ""
    tasks: tuple[TaskEntry, ...] = Field(min_length=1)
    methods: tuple[MethodEntry, ...]
    models: tuple[str | dict[str, Any], ...] = Field((DEFAULT_MODEL,), min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    limit: int | None = Field(None, ge=1)
    latency: LatencyEntry = LatencyEntry()
    grid: GridEntry | None = None
    prepare: tuple[Preparation, ...] = ()

    @model_validator(mode="after")
    def _does_something(self) -> Any:
        if not self.methods and not self.prepare:
            raise ValueError("'methods' is empty; name one at least")
        return self

    @field_validator("tasks", "methods", mode="before")
    @classmethod
    def _names_are_entries(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]


def read_board(name: str) -> Board:
    """Load a board by name or path; errors name the file, the key and the fix."""
    return parse_board(*board_values(name))


def board_values(name: str) -> tuple[Any, str]:
    """What a board's file says, not yet validated, and the file's path."""
    path = board_file(name)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such board file; 'memory-harness list boards' names those shipped"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    return values, str(path)


def parse_board(values: Any, source: str) -> Board:
    """Validate a board's values; ``source`` begins the error."""
    if not isinstance(values, dict):
        raise InputError(f"{source}: expected keys such as 'tasks' and 'methods', one a line")
    try:
        return Board.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    # A misspelt key is also a missing one; its name is the more helpful.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        keys: dict[str, type[BaseModel]] = {
            "tasks": TaskEntry,
            "methods": MethodEntry,
            "latency": LatencyEntry,
            "grid": GridEntry,
            "prepare": Preparation,
        }
        entry = keys.get(str(first["loc"][0]), Board) if len(first["loc"]) > 1 else Board
        known = TaskFiles if "files" in first["loc"] else entry
        hint = did_you_mean(str(first["loc"][-1]), list(known.model_fields))
        return f"unknown key '{where}'{hint}"
    if first["type"] == "missing":
        return f"key '{where}' is missing; add it"
    return f"'{where}' = {first['input']!r}: {first['msg']}"
