"""Elsewhere: what another process is told so that it plans the runs of a board again.

What this process was given by name alone, the other opens anew; what lives here alone is refused.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.boards.config import Board
from harness.boards.method_entry import own_name
from harness.errors import ConfigError
from harness.registry import given_here, plugin_sources
from harness.retrieval.open import parted

if TYPE_CHECKING:
    from harness.runs.plan import RunPlan

_UNREADABLE = "it is not made of names, numbers and texts alone"


def as_json(board: Board, key: str, **parts: Any) -> str:
    """A board with other ``parts``, as JSON, without what comes before its runs and after them.

    Raises ConfigError, naming the ``key`` that asks for other processes, for what JSON cannot hold.
    """
    parts = {"prepare": (), "judge": None, **parts}
    try:
        return board.model_copy(update=parts).model_dump_json(exclude_defaults=True)
    except ValueError as error:  # what pydantic cannot write
        raise not_elsewhere(f"board '{board.name}'", key, _UNREADABLE) from error


def check_elsewhere(plan: RunPlan, key: str) -> None:
    """Raise ConfigError, before any work, if another process could not open what a run uses."""
    lost: dict[tuple[str, str | None], str] = {
        (kind, name): why for kind, name, _, why in _registered() if why
    }
    retriever = parted(plan.method.retriever_name or "")[0]
    used: list[tuple[str, str | None]] = [
        ("methods", own_name(plan.config.method.name)),
        ("models", plan.model.name),
        ("tasks", plan.config.task.name),
        ("retrievers", retriever),
        ("encoders", retriever),
        *(("metrics", name) for name in plan.data.card.metrics),
    ]
    for each in used:
        if each in lost:
            raise not_elsewhere(f"{each[0].removesuffix('s')} '{each[1]}'", key, lost[each])


def told(board: str, root: Path, **more: Any) -> dict[str, Any]:
    """What the other process needs, as JSON may have it: board, runs folder, names given here."""
    return {
        "board": json.loads(board),
        "root": str(root.absolute()),
        "plugins": plugin_sources(),
        "registered": [
            [kind, name, target] for kind, name, target, why in _registered() if not why
        ],
        **more,
    }


def environment(**more: str) -> dict[str, str]:
    """This process's, in which the other imports what this one can."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


def not_elsewhere(what: str, key: str, why: str) -> ConfigError:
    """The refusal; ``key`` is what a board or an option asks other processes by."""
    return ConfigError(f"{what} cannot be opened in a process of its own ({key}): {why}")


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
