"""The command ``run``: a board, or one method on one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.common import (
    TASK_HELP,
    BatchSize,
    CorpusFile,
    DataDir,
    Device,
    LeaveOutTrained,
    Limit,
    Model,
    Plugins,
    Questions,
    Replies,
    RetryErrors,
    Revision,
    RunsOut,
    Split,
    TrainFile,
    load_plugins,
    run_all,
    task_place,
    task_values,
)
from harness.errors import ConfigError

if TYPE_CHECKING:
    from harness.boards.config import Board


def run(
    board: Annotated[str | None, typer.Argument(help="Board name or YAML file.")] = None,
    out: RunsOut = Path("runs"),
    method: Annotated[str | None, typer.Option(help="Run this method alone.")] = None,
    task: Annotated[str | None, typer.Option(help=f"Run on this task alone. {TASK_HELP}")] = None,
    param: Annotated[list[str] | None, typer.Option("-p", help="Method parameter, k=10.")] = None,
    model: Model = None,
    limit: Limit = None,
    documents: Annotated[
        int | None, typer.Option(help="Corpus of N passages, the questions' gold among them.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of samples and demonstrations.")] = None,
    split: Split = None,
    questions: Questions = None,
    corpus: CorpusFile = None,
    train: TrainFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    latency_queries: Annotated[int | None, typer.Option(help="Queries timed singly.")] = None,
    latency_passes: Annotated[
        int | None, typer.Option(help="How often a quarter of them is timed, for the noise.")
    ] = None,
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Measure each run in a process of its own.")
    ] = False,
    no_timings: Annotated[
        bool,
        typer.Option(
            "--no-timings", help="Record no latency, throughput and memory: a busy machine."
        ),
    ] = False,
    leave_out_trained: LeaveOutTrained = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes that answer runs at once.", min=1)
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(help="Answer on a cluster: ray (RAY_ADDRESS, else this machine), ray://…"),
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="Only part 2/8 of the board's questions, for 'merge'.")
    ] = None,
    replies: Replies = None,
    batch_size: BatchSize = None,
    device: Device = None,
    retry_errors: RetryErrors = False,
    plugin: Plugins = None,
) -> None:
    """Answer, measure and score the runs of a board, or of one method on one task.

    Finished runs are kept; an interrupted one continues where it stopped, and what a server left
    unanswered is asked again.
    """
    from harness.boards.config import parse_changes

    load_plugins(plugin)
    entry = task_values(split, questions, train, corpus, data_dir, revision)
    chosen = _board(board, method, task, method_params(param), entry)
    changes = parse_changes(
        {
            "models": (model,) if model else None,
            "limit": limit,
            "documents": documents,
            "leave_out_trained": leave_out_trained or None,
            "seeds": (seed,) if seed is not None else None,
            "latency": {"queries": latency_queries, "passes": latency_passes},
            "isolate": isolate or None,
            "timings": False if no_timings else None,
            "workers": workers,
            "replies": replies,
        }
    )
    if run_all(chosen.changed(changes), out, device, batch_size, retry_errors, part, on):
        then = f"merge {out} ..." if part is not None else f"leaderboard {out}"
        typer.echo(f"next: memory-harness {then}", err=True)


def method_params(pairs: list[str] | None) -> dict[str, Any]:
    """The values that ``-p NAME=VALUE`` gives. Raises ConfigError."""
    import yaml

    from harness.boards.method_entry import param_value

    params = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ConfigError(f"-p {pair}: write it as NAME=VALUE, such as -p k=10")
        try:
            params[key.strip()] = param_value(value)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"-p {pair}: the value is not readable: {reason}") from error
    return params


def _board(
    board: str | None,
    method: str | None,
    task: str | None,
    params: dict[str, Any],
    entry: dict[str, Any],
) -> Board:
    from harness.boards.config import parse_board
    from harness.boards.file import read_board

    if board is not None:
        if method or task or params or entry:
            raise ConfigError(
                "a board names its own methods, tasks and files; with one, give only --model, "
                "--limit, --documents, --seed, --leave-out-trained, --latency-queries, "
                "--latency-passes, --isolate, --no-timings, --workers and --replies"
            )
        return read_board(board)
    if method is None or task is None:
        raise ConfigError("name a board, or give --method and --task")
    values = {"name": task_place(task), **entry}
    return parse_board(
        {"name": method, "tasks": [values], "methods": [{"name": method, "params": params}]},
        "command line",
    )
