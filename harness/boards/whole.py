"""A whole board: looked at, prepared, planned and run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards.check import check_data
from harness.boards.judge import check_judge, run_judge
from harness.boards.method_entry import load_method, parse_params
from harness.boards.on_ray import board_on, ray_cluster
from harness.boards.parts import Part, deal_out
from harness.boards.pools import dealt, pairs, stopping
from harness.boards.prepare import is_prepared, prepare, resolve
from harness.boards.remote import RemoteWorkers
from harness.boards.run import load_data, plan_runs, run_plans
from harness.boards.shots import fit_shots
from harness.boards.workers import Answerers, Workers
from harness.errors import ConfigError, RunFailedError
from harness.files import check_no_links, check_writable
from harness.progress import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from harness.boards.config import Board
    from harness.boards.preparation import Work
    from harness.data.task import TaskData


def run_whole(
    board: Board,
    out: Path,
    console: Console,
    *,
    device: str | None = None,
    batch_size: int | None = None,
    retry_errors: bool = False,
    part: Part | None = None,
    on: str | None = None,
) -> list[Path]:
    """Prepare and run all of a board, what is finished left as it is; the folders of its runs.

    Of a ``part`` nothing is prepared and nothing judged, which each job would do anew. ``on`` a
    cluster (``on_ray``) questions are answered there, and nothing else is done. Raises
    HarnessError; runs that stop do not stop the others, and an interrupted board goes on where it
    was when it is run again.
    """

    def make(name: str, work: Work, folder: Path) -> None:
        say(console, f"preparing {name}")
        work.make(folder, device, console)

    if part is not None and board.prepare:
        raise ConfigError(
            f"--part: board '{board.name}' prepares '{board.prepare[0].name}', which each part "
            "would do anew; run a board that only prepares, and name its folders in this one"
        )
    if on is not None:
        if part is not None:
            raise ConfigError(f"--part and --on {on}: a cluster shares a board out by itself")
        board, device = board_on(board, device, on, console)
    check_writable(out)
    check_no_links(out)
    resolved = resolve(board, out)
    # Before anything is prepared, which may take an hour: files may be missing.
    if (judge := resolved.judge) is not None:
        check_judge(judge.model, judge.prompt)
    data = load_data(resolved) if resolved.methods else []
    asked = dealt(resolved, data)
    if not is_prepared(resolved, out):
        pairs(resolved, asked)
        _check_methods(resolved, data)
    prepare(resolved, out, make)
    for line in stopping(resolved, asked):
        say(console, line)
    plans = list(plan_runs(resolved, device, data, retry_errors=retry_errors))
    if part is not None:
        plans = deal_out(plans, part)
        count = sum(len(plan.asked) for plan in plans)
        say(
            console, f"part {part.number} of {part.parts}: {count:,} questions of {len(plans)} runs"
        )
    folders = run_plans(
        plans,
        out,
        console,
        batch_size=batch_size,
        device=device,
        workers=_workers(resolved, out, batch_size, device, retry_errors, part, on),
    )
    if judge is not None and part is None:
        left = run_judge(
            folders, judge.model, judge.prompt, console, batch_size=batch_size, device=device
        )
        if left:
            raise RunFailedError(f"{left} answers have no verdict; run the same board again")
    return folders


def _workers(
    board: Board,
    out: Path,
    batch_size: int | None,
    device: str | None,
    retry_errors: bool,
    part: Part | None,
    on: str | None,
) -> Answerers | None:
    """Who answers the board's runs; None for this process."""
    if on is not None:
        count = board.workers if "workers" in board.model_fields_set else None
        cluster = ray_cluster(on)
        return RemoteWorkers(board, out, cluster, count, batch_size, device, retry_errors)
    if board.workers > 1:
        return Workers(board, out, batch_size, device, retry_errors, part)
    return None


def _check_methods(board: Board, data: Sequence[TaskData]) -> None:
    for entry in board.methods:
        cls = load_method(entry.name)
        params = parse_params(cls, entry.name, entry.params)
        for each in data:
            check_data(cls(fit_shots(params, each)), each)
