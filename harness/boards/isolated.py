"""Isolated measuring: a run's single queries are timed in a process that opens nothing else.

Libraries, indexes and models that a board's earlier runs left in memory are then in no run's peak.
The process plans the run again from its board; what it was given by name alone it opens anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.boards.config import Board
from harness.boards.method_entry import own_name
from harness.errors import ConfigError, RunFailedError
from harness.registry import given_here, plugin_sources
from harness.retrieval.open import parted

if TYPE_CHECKING:
    from rich.console import Console

    from harness.runs.execute import RunPlan

COMMAND = (sys.executable, "-m", "harness.boards.alone")
_UNREADABLE = "it is not made of names, numbers and texts alone"


def board_of_one(board: Board, task: int, model: int, method: int, seed: int) -> str:
    """The board of one run of a board, as JSON, by the places of its parts.

    All methods and models stay where what they learnt from decides which questions are asked.
    """
    every = board.leave_out_trained
    parts = {
        "tasks": (board.tasks[task],),
        "methods": board.methods if every else (board.methods[method],),
        "models": board.models if every else (board.models[model],),
        "seeds": (seed,),
        "prepare": (),
    }
    try:
        return board.model_copy(update=parts).model_dump_json(exclude_defaults=True)
    except ValueError as error:  # what pydantic cannot write
        raise _not_again(f"board '{board.name}'", _UNREADABLE) from error


def check_isolated(plan: RunPlan) -> None:
    """Raise ConfigError, before any work, if another process could not open what a run uses."""
    if plan.board is None:
        raise _not_again(f"run '{plan.label}'", "it was not planned from a board")
    lost: dict[tuple[str, str | None], str] = {
        (kind, name): why for kind, name, _, why in _registered() if why
    }
    used: list[tuple[str, str | None]] = [
        ("methods", own_name(plan.config.method.name)),
        ("models", plan.model.name),
        ("tasks", plan.config.task.name),
        ("retrievers", parted(plan.method.retriever_name or "")[0]),
        ("encoders", plan.method.retriever_name),
        *(("metrics", name) for name in plan.data.card.metrics),
    ]
    for kind, name in used:
        if (kind, name) in lost:
            raise _not_again(f"{kind.removesuffix('s')} '{name}'", lost[kind, name])


def measure_isolated(
    plan: RunPlan,
    root: Path,
    console: Console,
    *,
    batch_size: int | None = None,
    device: str | None = None,
) -> None:
    """Have another process measure a run that is answered. Raises RunFailedError with its error.

    An interrupt ends it, too.
    """
    assert plan.board is not None  # see check_isolated
    request = {
        "board": json.loads(plan.board),
        "run_id": plan.config.run_id,
        "root": str(root.absolute()),
        "batch_size": batch_size,
        "device": device,
        "plugins": plugin_sources(),
        "registered": [
            [kind, name, target] for kind, name, target, why in _registered() if not why
        ],
    }
    if error := _error(*_ask(json.dumps(request), shown=console.stderr)):
        raise RunFailedError(
            f"{plan.label}: stopped while it was measured in a process of its own: {error}"
        )


def _ask(request: str, *, shown: bool) -> tuple[int, str]:
    """Exit status and output of the other process, which is gone when this one goes on."""
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if shown else subprocess.DEVNULL,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:
        try:
            told, _ = process.communicate(request)
        except BaseException:
            process.kill()
            process.wait()
            raise
    return process.returncode, told


def _error(code: int, told: str) -> str:
    if code < 0:
        return f"signal {-code} ended it; see to its memory and run again"
    try:
        outcome: Mapping[str, str] = json.loads(told)
        return outcome.get("error", "")
    except (ValueError, AttributeError):
        return f"exit status {code}; run again without --isolate to see why"


def _registered() -> Iterator[tuple[str, str, Any, str]]:
    """Kind, name and what to register again of each name that this process was given.

    Last, why there is nothing to register, empty if there is.
    """
    for kind, name, target in given_here():
        if isinstance(target, str | Path | Mapping):
            yield kind, name, _written(target), "" if _written(target) else _UNREADABLE
            continue
        module = getattr(target, "__module__", None) or type(target).__module__
        path = getattr(target, "__qualname__", "<locals>")
        if module.startswith("memory_harness_plugin_"):  # which registers it itself
            continue
        is_lost = module in ("__main__", "builtins") or "<locals>" in path
        why = "it was made in this process; put it into a file and load it with --plugin"
        yield kind, name, f"{module}:{path}", why if is_lost else ""


def _written(target: str | Path | Mapping[str, Any]) -> Any:
    if isinstance(target, Mapping):
        try:
            return json.loads(json.dumps(dict(target)))
        except (TypeError, ValueError):
            return None
    return str(target)


def _not_again(what: str, why: str) -> ConfigError:
    return ConfigError(f"{what} cannot be opened in a process of its own (isolate): {why}")
