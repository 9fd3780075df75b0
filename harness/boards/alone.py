"""The process of one isolated run (``isolated``): reads what to measure, and tells how it ended.

``python -m harness.boards.alone`` takes a JSON object on standard input and leaves one on standard
output, ``{}`` or ``{"error": "..."}``; progress goes to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, RunFailedError, describe_error

if TYPE_CHECKING:
    from harness.runs.plan import RunPlan

INTERRUPTED = 130


def planned(request: Mapping[str, Any]) -> Iterator[RunPlan]:
    """Every run of the board that another process told of (``elsewhere.told``)."""
    from harness.boards.config import parse_board
    from harness.boards.parts import Part, deal_out
    from harness.boards.run import plan_runs
    from harness.registry import load_plugin, register

    for source in request["plugins"]:
        load_plugin(source)
    for kind, name, target in request["registered"]:
        register(kind, name, target)
    board = parse_board(request["board"], "board of another process")
    plans = plan_runs(board, request["device"], retry_errors=request.get("retry_errors", False))
    part = request.get("part")
    yield from deal_out(list(plans), Part(*part)) if part else plans


def became_another(run_id: str) -> RunFailedError:
    """What is told of a run that is planned no more."""
    return RunFailedError(
        f"run {run_id} is another one now: a file, a plug-in or a model that it is made of "
        "changed meanwhile; run the board again"
    )


def measure(request: Mapping[str, Any]) -> None:
    """Plan the run again and time its single queries. Raises HarnessError."""
    from rich.console import Console

    from harness.boards.run import run_plans

    run_id, device = request["run_id"], request["device"]
    plan = next((plan for plan in planned(request) if plan.config.run_id == run_id), None)
    if plan is None:
        raise became_another(run_id)
    alone = replace(plan, measuring=replace(plan.measuring, alone=True))
    size, console = request["batch_size"], Console(stderr=True)
    run_plans([alone], Path(request["root"]), console, batch_size=size, device=device)


def main() -> int:
    """Measure what standard input says; the exit status."""
    told: dict[str, str] = {}
    try:
        # What a plug-in prints is not what is told.
        with redirect_stdout(sys.stderr):
            measure(json.load(sys.stdin))
    except KeyboardInterrupt:
        return INTERRUPTED
    except HarnessError as error:
        told["error"] = str(error)
    except Exception as error:
        told["error"] = describe_error(error)
    sys.stdout.write(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
