"""Isolated measuring: a run's single queries are timed in a process that opens nothing else.

Libraries, indexes and models that a board's earlier runs left in memory are then in no run's peak.
The process plans the run again from its board; what it was given by name alone it opens anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards.config import Board
from harness.boards.elsewhere import as_json, check_elsewhere, environment, not_elsewhere, told
from harness.errors import RunFailedError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.runs.plan import RunPlan

COMMAND = (sys.executable, "-m", "harness.boards.alone")
_KEY = "isolate"


def board_of_one(board: Board, task: int, model: int, method: int, seed: int) -> str:
    """The board of one run of a board, as JSON, by the places of its parts.

    All methods and models stay where what they learnt from decides which questions are asked.
    """
    every = board.leave_out_trained
    # The other methods are perhaps not run on this task.
    methods = tuple(entry.model_copy(update={"up_to": None}) for entry in board.methods)
    return as_json(
        board,
        _KEY,
        tasks=(board.tasks[task],),
        methods=methods if every else (methods[method],),
        models=board.models if every else (board.models[model],),
        seeds=(seed,),
    )


def check_isolated(plan: RunPlan) -> None:
    """Raise ConfigError, before any work, if another process could not open what a run uses."""
    if plan.board is None:
        raise not_elsewhere(f"run '{plan.label}'", _KEY, "it was not planned from a board")
    check_elsewhere(plan, _KEY)


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
    options = {"run_id": plan.config.run_id, "batch_size": batch_size, "device": device}
    request = json.dumps(told(plan.board, root, **options))
    if error := _error(*_ask(request, shown=console.stderr)):
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
        env=environment(),
    ) as process:
        try:
            output, _ = process.communicate(request)
        except BaseException:
            process.kill()
            process.wait()
            raise
    return process.returncode, output


def _error(code: int, output: str) -> str:
    if code < 0:
        return f"signal {-code} ended it; see to its memory and run again"
    try:
        outcome: Mapping[str, str] = json.loads(output)
        return outcome.get("error", "")
    except (ValueError, AttributeError):
        return f"exit status {code}; run again without --isolate to see why"
