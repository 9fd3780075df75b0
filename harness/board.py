"""Boards: a YAML file naming the runs to compare, and their execution on one machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.engine import check_needs
from harness.errors import ConfigError, HarnessError, InputError, RunFailedError, did_you_mean
from harness.execute import Measuring, RunPlan, execute
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.method import parse_params
from harness.progress import CallbackBar, say
from harness.prompts import PROMPT_FORMAT
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
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
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

    Raises at the end if any run failed: the error itself if it was the only run.
    """
    everything = list(plans)
    failures: list[HarnessError] = []
    for model, group in groupby(everything, key=lambda plan: plan.model):
        todo = []
        for plan in group:
            with _going_on(failures):
                if plan.is_complete(root):
                    say(console, f"{plan.label}: finished before")
                else:
                    todo.append(plan)
        if todo:
            say(console, f"loading {model.name}")
            with _going_on(failures):
                llm = _open_llm(todo[0], batch_size, device)
                _execute_all(todo, root, llm, console, failures)
    if failures and len(everything) == 1:
        raise failures[0]
    for failure in failures:
        say(console, f"stopped: {failure}")
    if failures:
        raise RunFailedError(
            f"stopped {len(failures)} times, see above; the other runs are finished, and running "
            "the same board again continues"
        )
    return [plan.config.folder(root) for plan in everything]


@contextmanager
def _going_on(failures: list[HarnessError]) -> Iterator[None]:
    """Keep what stopped one run, so that the others go on."""
    try:
        yield
    except HarnessError as error:
        # A copy: the error's own traceback would keep the model in memory.
        failures.append(type(error)(str(error)))


def _execute_all(
    plans: list[RunPlan],
    root: Path,
    llm: LanguageModel,
    console: Console,
    failures: list[HarnessError],
) -> None:
    retrievers = _Retrievers(console)
    able = []
    for plan in plans:
        with _going_on(failures):
            check_needs(plan.method, llm)
            able.append(plan)
    try:
        for plan in able:
            with _going_on(failures):
                execute(plan, root, llm, retrievers.open(plan), console)
    finally:
        llm.close()


def _open_llm(plan: RunPlan, batch_size: int | None, device: str | None) -> LanguageModel:
    from harness.llm.open import open_model
    from harness.meters.hardware import set_torch_threads

    set_torch_threads()
    return open_model(plan.model, batch_size=batch_size, device=device)


class _Retrievers:
    """Opens each plan's retriever; one that several runs in a row share is opened once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[Any, Retriever] | None = None

    def open(self, plan: RunPlan) -> Retriever | None:
        name = plan.method.retriever_name
        if name is None:
            self._last = None  # a run without an index must not be charged for one
            return None
        key = (plan.config.retriever, plan.data.corpus_fingerprint)
        if self._last is None or self._last[0] != key:
            self._last = None  # frees the old index before the new one is read
            self._last = (key, self._open(name, plan))
        return self._last[1]

    def _open(self, name: str, plan: RunPlan) -> Retriever:
        from harness.retrieval.open import open_retriever

        label = f"{plan.config.task['name']}: {name} index"
        with CallbackBar(self._console, label) as progress:
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
            "prompt_format": PROMPT_FORMAT,
            "params": method.params.model_dump(mode="json"),
        },
        model=dict(model),
        retriever=retriever_config(retriever, method.retriever_settings) if retriever else None,
        seed=seed,
    )


def _explain(error: ValidationError) -> str:
    # A misspelt key is also a missing one; its name is the more helpful.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
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
