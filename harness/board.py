"""Boards: a YAML file naming the runs to compare, and their execution on one machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.errors import ConfigError, HarnessError, InputError, did_you_mean
from harness.execute import Measuring, RunPlan, execute
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.method import parse_params
from harness.registry import board_file, load_method
from harness.runs import RunConfig
from harness.sources import TaskFiles, load_task_data

if TYPE_CHECKING:
    from rich.console import Console

    from harness.llm.base import LanguageModel
    from harness.retrieval.base import Retriever
    from harness.task import TaskData


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskEntry(_Entry):
    """A task of a board: a name of the table, or local files under a name of one's own."""

    name: str
    split: str = "sample"
    limit: int | None = Field(None, ge=1)
    files: TaskFiles = TaskFiles()


class MethodEntry(_Entry):
    """A method of a board with its parameters."""

    name: str
    params: dict[str, Any] = {}


class LatencyEntry(_Entry):
    """How many single queries are timed, after how many unmeasured ones."""

    queries: int = Field(50, ge=0)
    warmup: int = Field(5, ge=0)


class Board(_Entry):
    """Methods x tasks x models x seeds. ``limit`` applies to tasks that set none of their own."""

    name: str
    description: str = ""
    tasks: tuple[TaskEntry, ...] = Field(min_length=1)
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    models: tuple[str | dict[str, Any], ...] = Field((DEFAULT_MODEL,), min_length=1)
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    limit: int | None = Field(None, ge=1)
    latency: LatencyEntry = LatencyEntry()

    @field_validator("tasks", "methods", mode="before")
    @classmethod
    def _names_are_entries(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return [{"name": item} if isinstance(item, str) else item for item in value]


def read_board(name: str) -> Board:
    """Load a board by name or path; errors name the file, the key and the fix."""
    path = board_file(name)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such board file; 'memory-harness list boards' names those shipped"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    return parse_board(values, str(path))


def parse_board(values: Any, source: str) -> Board:
    """Validate a board's values; ``source`` begins the error."""
    if not isinstance(values, dict):
        raise InputError(f"{source}: expected keys such as 'tasks' and 'methods', one a line")
    try:
        return Board.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error)}") from error


def plan_runs(board: Board, device: str | None = None) -> Iterator[RunPlan]:
    """Every run of a board, model by model and task by task; loads questions, not models.

    ``device`` decides what a model's dtype ``auto`` means, and so the run's identity.
    """
    from harness.meters.hardware import default_device

    methods = [(entry, load_method(entry.name)) for entry in board.methods]
    parsed = [(entry, cls, parse_params(cls, entry.name, entry.params)) for entry, cls in methods]
    device = device or default_device()
    models = [resolve_model(spec).on(device) for spec in board.models]
    data = [
        load_task_data(task.name, task.split, task.limit or board.limit, task.files)
        for task in board.tasks
    ]
    measuring = Measuring(board.latency.queries, board.latency.warmup)
    for model in models:
        for task_data in data:
            for entry, cls, params in parsed:
                for seed in board.seeds:
                    method = cls(params)
                    config = _config(
                        entry.name,
                        method,
                        {"name": model.name, **model.semantic()},
                        task_data,
                        seed,
                    )
                    yield RunPlan(config, method, model, task_data, measuring)


def run_board(
    plans: Iterable[RunPlan],
    root: Path,
    console: Console,
    *,
    batch_size: int | None = None,
    device: str | None = None,
) -> list[Path]:
    """Execute what is not complete yet; a run that stops does not stop the others.

    Raises the first run's error at the end if any run failed.
    """
    failures: list[HarnessError] = []
    folders = []
    for model, group in groupby(plans, key=lambda plan: plan.model):
        todo = []
        for plan in group:
            folders.append(plan.config.folder(root))
            if plan.is_complete(root):
                console.print(f"{plan.label}: finished before", markup=False, highlight=False)
            else:
                todo.append(plan)
        if not todo:
            continue
        console.print(f"loading {model.name}", markup=False, highlight=False)
        llm = _open_llm(todo[0], batch_size, device)
        try:
            for plan, retriever in _with_retrievers(todo, console):
                try:
                    execute(plan, root, llm, retriever, console)
                except HarnessError as error:
                    failures.append(error)
                    console.print(f"{plan.label}: {error}", markup=False, highlight=False)
        finally:
            llm.close()
    if failures:
        raise failures[0]
    return folders


def _open_llm(plan: RunPlan, batch_size: int | None, device: str | None) -> LanguageModel:
    from harness.llm.open import open_model
    from harness.meters.hardware import set_torch_threads

    set_torch_threads()
    return open_model(plan.model, batch_size=batch_size, device=device)


def _with_retrievers(
    plans: list[RunPlan], console: Console
) -> Iterator[tuple[RunPlan, Retriever | None]]:
    """Each plan with its retriever; one that several runs in a row share is opened once."""
    opened: tuple[Any, Retriever] | None = None
    for plan in plans:
        if plan.method.retriever_name is None:
            yield plan, None
            continue
        key = (plan.config.retriever, plan.data.corpus_fingerprint)
        if opened is None or opened[0] != key:
            opened = (key, _open_retriever(plan, console))
        yield plan, opened[1]


def _open_retriever(plan: RunPlan, console: Console) -> Retriever:
    from harness.progress import CallbackBar
    from harness.retrieval.open import open_retriever

    name = plan.method.retriever_name
    assert name is not None
    with CallbackBar(console, f"{plan.config.task['name']}: {name} index") as progress:
        return open_retriever(
            name, plan.data.corpus, settings=plan.method.retriever_settings, progress=progress
        )


def _config(
    name: str, method: Any, model: Mapping[str, Any], data: TaskData, seed: int
) -> RunConfig:
    from harness.retrieval.open import retriever_config

    retriever = method.retriever_name
    return RunConfig(
        task={
            "name": data.name,
            "split": data.split,
            "limit": data.limit,
            "questions": len(data.questions),
            "questions_fingerprint": data.questions_fingerprint,
            "passages": len(data.corpus),
            "corpus_fingerprint": data.corpus_fingerprint,
            "train_fingerprint": data.train_fingerprint,
        },
        method={
            "name": name,
            "version": method.card.version,
            "params": method.params.model_dump(mode="json"),
        },
        model=dict(model),
        retriever=retriever_config(retriever, method.retriever_settings) if retriever else None,
        seed=seed,
    )


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        keys: dict[str, type[BaseModel]] = {
            "tasks": TaskEntry,
            "methods": MethodEntry,
            "latency": LatencyEntry,
        }
        entry = keys.get(str(first["loc"][0]), Board) if len(first["loc"]) > 1 else Board
        known = TaskFiles if "files" in first["loc"] else entry
        hint = did_you_mean(str(first["loc"][-1]), list(known.model_fields))
        return f"unknown key '{where}'{hint}"
    if first["type"] == "missing":
        return f"key '{where}' is missing; add it"
    return f"'{where}' = {first['input']!r}: {first['msg']}"
