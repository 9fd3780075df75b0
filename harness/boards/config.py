"""A board's schema: its keys, and errors that name the file, the key and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.boards.preparation import Preparation, work_of
from harness.boards.task_entry import TaskFiles, TaskSource
from harness.errors import ConfigError, InputError, did_you_mean, problem_of
from harness.llm.catalogue import DEFAULT_MODEL
from harness.runs.resources import ONE_CPU, Resources

_CHANGED = (
    "models", "limit", "seeds", "leave_out_trained", "isolate", "timings", "workers", "replies"
)  # fmt: skip


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskEntry(TaskSource):
    """A task of a board, and how much of it."""

    limit: int | None = Field(
        None, ge=1, description="size of a fixed random sample of the questions, by the hash of ids"
    )
    documents: int | None = Field(None, ge=1, description="size of a sub-pool with all gold")
    pools: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (), description="sizes of pools that the questions are dealt into, at most half gold"
    )

    @model_validator(mode="after")
    def _one_way_to_cut(self) -> Any:
        if self.documents is not None and self.pools:
            raise ValueError("'documents' is one sub-pool, 'pools' are several; give one of them")
        if len(set(self.pools)) < len(self.pools):
            raise ValueError(f"'pools' names a size twice: {list(self.pools)}")
        return self


class MethodEntry(_Entry):
    """A method of a board with its parameters.

    ``up_to``: documents of the largest corpus that it is run on, for one that takes long on more.
    ``resources``: those of the board's that are others for it.
    """

    name: str
    params: dict[str, Any] = {}
    up_to: int | None = Field(None, ge=1)
    resources: Resources | None = None


class LatencyEntry(_Entry):
    """How many single queries are timed, after how many unmeasured ones.

    ``passes``: how often a quarter of them is timed, which tells how much figures change by
    themselves; without it twice, of four queries or more.
    """

    queries: int = Field(50, ge=0)
    warmup: int = Field(5, ge=0)
    passes: int | None = Field(None, ge=1)


class LatencyChanges(_Entry):
    """How many single queries are timed, and how often, instead of the board's numbers."""

    queries: int | None = Field(None, ge=0)
    passes: int | None = Field(None, ge=1)


class GridEntry(_Entry):
    """Variants of one of the board's methods: each value alone, or every combination."""

    method: str
    vary: Literal["one-at-a-time", "all"] = "one-at-a-time"
    params: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(min_length=1)


class JudgeEntry(_Entry):
    """The model that says of each answer whether it is right, and a prompt of one's own."""

    model: str | dict[str, Any]
    prompt: Path | None = None


class Board(_Entry):
    """Methods x tasks x models x seeds. ``limit`` applies to tasks that set none of their own.

    A limit keeps a fixed random sample of a task's questions, not the first. ``leave_out_trained``
    leaves out, for every method, questions that a method's or model's trained parts learnt from;
    without it they stop the board. ``methods`` may be empty if the board only prepares. ``isolate``
    measures each run in a process of its own; ``timings: off`` records neither latency nor
    throughput nor memory. ``workers`` are processes that answer runs at once, what one times is
    timed after that. ``replies`` is how many MB of replies are kept across runs, so that none is
    asked again; then no throughput is recorded. ``order`` is what runs go by: task by task, each
    index opened once, or method by method, so that rows of all tasks are there early.
    ``resources`` are what each worker on a cluster asks for; where a board runs is no matter of its
    file.
    """

    name: str
    description: str = ""
    tasks: tuple[TaskEntry, ...] = Field(min_length=1)
    methods: tuple[MethodEntry, ...]
    models: tuple[str | dict[str, Any], ...] = Field((DEFAULT_MODEL,), min_length=1)
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    limit: int | None = Field(None, ge=1)
    leave_out_trained: bool = False
    latency: LatencyEntry = LatencyEntry()
    isolate: bool = False
    timings: bool = True
    workers: int = Field(1, ge=1)
    replies: int = Field(0, ge=0)
    order: Literal["tasks", "methods"] = "tasks"
    resources: Resources = ONE_CPU
    grid: GridEntry | None = None
    prepare: tuple[Preparation, ...] = ()
    judge: JudgeEntry | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Any:
        if not self.methods and not self.prepare:
            raise ValueError("'methods' is empty; name one at least")
        return self

    @model_validator(mode="after")
    def _one_kind_of_device(self) -> Any:
        if len({self.resources.changed(entry.resources).gpus > 0 for entry in self.methods}) > 1:
            raise ValueError(
                "'resources' give some methods a GPU and others none, so that their models would "
                "have other dtypes: give all a GPU (a share such as gpus: 0.1) or none"
            )
        return self

    @field_validator("judge", mode="before")
    @classmethod
    def _name_is_entry(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @field_validator("tasks", "methods", mode="before")
    @classmethod
    def _names_are_entries(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]

    def changed(self, changes: Changes) -> Board:
        """The board with other values; a limit is then every task's."""
        given = {key: value for key in _CHANGED if (value := getattr(changes, key)) is not None}
        of_tasks: dict[str, Any] = {"limit": None} if changes.limit is not None else {}
        if changes.documents is not None:
            of_tasks |= {"documents": changes.documents, "pools": ()}
        if of_tasks:
            given["tasks"] = tuple(task.model_copy(update=of_tasks) for task in self.tasks)
        if latency := changes.latency.model_dump(exclude_none=True):
            given["latency"] = self.latency.model_copy(update=latency)
        return self.model_copy(update=given)


class Changes(_Entry):
    """Options of the command line in place of a board's own values; None changes none."""

    models: tuple[str, ...] | None = Field(None, min_length=1)
    limit: int | None = Field(None, ge=1)
    documents: int | None = Field(None, ge=1)
    leave_out_trained: bool | None = None
    seeds: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(None, min_length=1)
    latency: LatencyChanges = LatencyChanges()
    isolate: bool | None = None
    timings: bool | None = None
    workers: int | None = Field(None, ge=1)
    replies: int | None = Field(None, ge=0)


def parse_changes(values: Mapping[str, Any], source: str = "command line") -> Changes:
    """Validate options of the command line. Raises ConfigError naming the option."""
    try:
        return Changes.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error)}") from error


def parse_board(values: Any, source: str) -> Board:
    """Validate a board's values; ``source`` begins the error."""
    if not isinstance(values, dict):
        raise InputError(f"{source}: expected keys such as 'tasks' and 'methods', one a line")
    try:
        board = Board.model_validate(values)
        for number, entry in enumerate(board.prepare):
            work_of(entry, f"prepare.{number}.")
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return board


def _explain(error: ValidationError) -> str:
    found = problem_of(error)
    if found.is_unknown:
        keys: dict[str, type[BaseModel]] = {
            "tasks": TaskEntry,
            "methods": MethodEntry,
            "latency": LatencyEntry,
            "grid": GridEntry,
        }
        entry = keys.get(str(found.path[0]), Board) if len(found.path) > 1 else Board
        inner: dict[str | int, type[BaseModel]] = {"files": TaskFiles, "resources": Resources}
        known = next((inner[key] for key in found.path[:-1] if key in inner), entry)
        return f"unknown key '{found.where}'{did_you_mean(found.key, list(known.model_fields))}"
    if found.is_missing:
        return f"key '{found.where}' is missing; add it"
    return f"'{found.where}' = {found.value!r}: {found.message}"
