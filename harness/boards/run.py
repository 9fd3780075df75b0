"""Boards as runs: planned from their file and executed on one machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from harness.boards.check import check_plan
from harness.boards.config import Board, MethodEntry
from harness.boards.elsewhere import check_elsewhere
from harness.boards.isolated import board_of_one, check_isolated, measure_isolated
from harness.boards.learnt import learnt_by
from harness.boards.method_entry import load_method, own_name, parse_params
from harness.boards.needs import check_needs
from harness.boards.pools import dealt, pairs, shared_out
from harness.boards.retrievers import Retrievers, retriever_of
from harness.boards.shots import about_shots, fit_shots
from harness.boards.so_far import SoFar
from harness.boards.sweep import expand
from harness.boards.task_entry import load_task_data
from harness.boards.workers import Answerers
from harness.data.trained_on import check_untrained, warn_of_unknown
from harness.errors import HarnessError, RunFailedError
from harness.llm.adapters import adapter_fingerprint
from harness.llm.catalogue import resolve_model
from harness.llm.identity import identity, places
from harness.llm.model_config import ModelConfig
from harness.llm.style import settled
from harness.method import Method, MethodParams
from harness.progress import say
from harness.prompts import PROMPT_FORMAT
from harness.retrieval.open import placeless
from harness.runs.execute import execute
from harness.runs.manifest import MethodConfig, ModelSettings, RunConfig
from harness.runs.measuring import Measuring
from harness.runs.opening import Opened
from harness.runs.plan import RunPlan
from harness.runs.task_config import task_config
from harness.runs.usage import cautions

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.task import TaskData
    from harness.llm.base import LanguageModel


def load_data(board: Board) -> list[TaskData]:
    """Questions and corpus of each task of a board, before any are dealt into pools.

    Raises InputError for files that are wrong.
    """
    return [
        load_task_data(task.name, task.split, task.limit or board.limit, task.files, task.documents)
        for task in board.tasks
    ]


def plan_runs(
    board: Board,
    device: str | None = None,
    data: Sequence[TaskData] | None = None,
    *,
    retry_errors: bool = False,
) -> Iterator[RunPlan]:
    """Every run of a board, model by model, and then in its order; loads questions, not models.

    ``device`` decides what a model's dtype ``auto`` means, and so the run's identity. ``data`` is
    what ``load_data`` gave, if it was called before. ``retry_errors``: what is recorded as an error
    is to be asked again.
    """
    from harness.meters.hardware import default_device

    board = expand(board)
    methods = [_parsed(entry) for entry in board.methods]
    device = device or default_device()
    models = [settled(resolve_model(spec).on(device)) for spec in board.models]
    # Here, before questions are read: files may be missing, and reading large ones takes long.
    identities = [_identity(model) for model in models]
    data = load_data(board) if data is None else data
    # All of a board at once: rows of one table must answer the same questions.
    learnt = [cls(params).trained_on() for _, cls, params, _ in methods]
    tuned = [learnt_by(model) for model in models]
    everything = [part for parts in (*learnt, *tuned) for part in parts]
    warn_of_unknown(everything)
    data = [check_untrained(d, everything, leave_out=board.leave_out_trained) for d in data]
    measuring = Measuring(
        **board.latency.model_dump(), isolate=board.isolate, timings=board.timings
    )
    asked = dealt(board, data)
    for m, (model, known, parts) in enumerate(zip(models, identities, tuned, strict=True)):
        for place, n in pairs(board, asked):
            (name, cls, params, inputs), (t, task_data) = methods[n], asked[place]
            for seed in board.seeds:
                method = cls(fit_shots(params, task_data))
                config = _config(name, method, inputs, known, task_data, seed)
                shown = tuple(about_shots(name, method, params, task_data, seed))
                plan = RunPlan(config, method, model, task_data, shared_out(measuring, task_data))
                alone = board_of_one(board, t, m, n, seed) if board.isolate else None
                needs = board.resources.changed(board.methods[n].resources)
                plan = replace(plan, retry_errors=retry_errors, demonstrations=shown)
                plan = replace(plan, resources=needs, reply_megabytes=board.replies)
                yield replace(plan, trained=(*learnt[n], *parts), board=alone)


def run_plans(
    plans: Iterable[RunPlan],
    root: Path,
    console: Console,
    *,
    batch_size: int | None = None,
    device: str | None = None,
    workers: Answerers | None = None,
) -> list[Path]:
    """Execute what is not complete yet; a run that stops does not stop the others.

    ``workers`` answer first what is left, and here is only measured. Raises at the end if any run
    failed: the error itself if it was the only run.
    """
    everything, todo = list(plans), []
    failures: list[HarnessError] = []
    so_far = SoFar(console, everything, root)
    for plan in everything:
        with _going_on(failures):
            if plan.is_complete(root):
                say(console, f"{plan.label}: finished before")
                so_far.add(plan, shown=False)
            else:
                check_plan(plan, root)
                if plan.measuring.is_elsewhere:
                    check_isolated(plan)
                if workers is not None:
                    check_elsewhere(plan, workers.key)
                todo.append(plan)
    for line in dict.fromkeys(f"{p.data.name}: {note}" for p in todo for note in p.demonstrations):
        say(console, f"demonstrations for {line}")
    if workers is not None and len(todo) >= workers.fewest:
        todo = workers.answer(todo, so_far, failures)
        todo = [plan for plan in todo if plan.asks or not plan.is_measured(root)]
    for model, group in groupby(todo, key=lambda plan: plan.model):
        ready = list(group)
        if here := [plan for plan in ready if not _is_for_another(plan, root)]:
            say(console, f"loading {model.name}{_style_of(model)}")
            with _going_on(failures):
                llm, opened = open_llm(here[0], batch_size, device)
                _execute_all(here, root, llm, opened, so_far, failures)
        # The model is closed by now: there may be no room for it twice.
        for plan in (plan for plan in ready if _is_for_another(plan, root)):
            if not plan.is_complete(root):
                with _going_on(failures):
                    measure_isolated(plan, root, console, batch_size=batch_size, device=device)
                    so_far.add(plan)
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


def _is_for_another(plan: RunPlan, root: Path) -> bool:
    """Whether all that is left of a run is for a process of its own."""
    return plan.measuring.is_elsewhere and plan.is_answered(root)


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
    opened: Opened,
    so_far: SoFar,
    failures: list[HarnessError],
) -> None:
    console = so_far.console
    retrievers = Retrievers(console)
    able = []
    for plan in plans:
        with _going_on(failures):
            check_needs(plan.config.method.name, plan.method, llm)
            plan.method.check_model(llm)
            able.append(plan)
    try:
        for plan in able:
            with _going_on(failures):
                held = retrievers.open(plan)
                took = replace(opened, index_seconds=held.seconds, index=held.index)
                folder = execute(plan, root, llm, held.retriever, console, took)
                # Another process has told them already where this one only measures.
                for caution in cautions(folder) if plan.asks and not plan.measuring.alone else ():
                    say(console, f"warning: {plan.label}: {caution}")
                if not plan.measuring.is_elsewhere:
                    so_far.add(plan)
    finally:
        llm.close()


def open_llm(
    plan: RunPlan, batch_size: int | None, device: str | None
) -> tuple[LanguageModel, Opened]:
    """The model of a run, and what opening it took. Raises HarnessError."""
    from harness.llm.open import open_model
    from harness.meters.hardware import set_torch_threads
    from harness.meters.memory import in_use

    set_torch_threads()
    # Hours may lie between planning a board and coming to its last model.
    if places(plan.model) and _identity(plan.model) != plan.config.model:
        raise RunFailedError(
            f"model '{plan.model.name}': its files changed since the board was planned; run the "
            "board again"
        )
    start = perf_counter()
    llm = open_model(plan.model, batch_size=batch_size, device=device)
    seconds = round(perf_counter() - start, 3)
    # Only here is what is in use not what an earlier run left.
    alone = plan.measuring.alone
    baseline = in_use(str(llm.provenance().get("device", "remote"))) if alone else None
    return llm, Opened(seconds, baseline_bytes=baseline)


def _parsed(entry: MethodEntry) -> tuple[str, type[Method], MethodParams, dict[str, str]]:
    cls = load_method(entry.name)
    params = parse_params(cls, entry.name, entry.params)
    # Here, once for all runs of an entry: the files may be large.
    return own_name(entry.name), cls, params, inputs_of(cls(params))


def config_of(
    name: str, method: Method, model: ModelConfig, data: TaskData, seed: int
) -> RunConfig:
    """The config of a method, by the name of its entry, asked all questions of ``data``."""
    return _config(own_name(name), method, inputs_of(method), _identity(model), data, seed)


def _identity(model: ModelConfig) -> ModelSettings:
    return ModelSettings(name=model.name, **identity(model))


def _style_of(model: ModelConfig) -> str:
    """What a model's user did not choose, to be said."""
    if not model.style_reason:
        return ""
    return f" (prompt_style {model.prompt_style}, since {model.style_reason})"


def inputs_of(method: Method) -> dict[str, str]:
    """What the method's files hold, its adapter's among them. InputError if one is missing."""
    own = dict(method.inputs)
    return (
        own if method.adapter is None else {**own, "adapter": adapter_fingerprint(method.adapter)}
    )


def _config(
    name: str,
    method: Method,
    inputs: dict[str, str],
    model: ModelSettings,
    data: TaskData,
    seed: int,
) -> RunConfig:
    return RunConfig(
        task=task_config(data, tells_hops=method.reads_task),
        method=MethodConfig(
            name=name,
            version=method.version(),
            prompt_format=PROMPT_FORMAT,
            params=placeless(method.params.model_dump(mode="json")),
            **({"inputs": inputs} if inputs else {}),
        ),
        model=model,
        retriever=retriever_of(method, data),
        seed=seed,
    )
