"""Options, the console and checks that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.boards.config import Board


PLUGIN_HELP = "Module or .py file with METHODS, TASKS, BOARDS, …"
Plugins = Annotated[list[str] | None, typer.Option("--plugin", help=PLUGIN_HELP)]


def named_runs(given: Path) -> Path:
    """The folder that is given, or that shipped results of this name unpack to."""
    from harness.runs.results import find_results

    return find_results(given)


RunsFolder = Annotated[
    Path,
    typer.Argument(
        callback=named_runs,
        help="Folder of runs (the --out of 'run'), or results that ship, such as 'standing'.",
    ),
]
Model = Annotated[str | None, typer.Option(help="Catalogue name, hf:ORG/NAME, path:…")]
RetryErrors = Annotated[
    bool, typer.Option("--retry-errors", help="Ask again what is recorded as an error.")
]
Limit = Annotated[
    int | None,
    typer.Option(help="N questions of each task: a fixed random sample, by the hash of their ids."),
]
LeaveOutTrained = Annotated[
    bool,
    typer.Option(
        "--leave-out-trained",
        help="Leave out, for all methods, questions that trained parts learnt from.",
    ),
]
TASK_HELP = "A name, a folder with a task.yaml, or lm-eval:NAME."
Split = Annotated[str | None, typer.Option(help="'sample', or a split of the full set.")]
Questions = Annotated[Path | None, typer.Option(help="Questions, FlashRAG's JSONL or Parquet.")]
TrainFile = Annotated[Path | None, typer.Option(help="Train questions, in the same form.")]
CorpusFile = Annotated[Path | None, typer.Option(help="Corpus, FlashRAG's JSONL or Parquet.")]
DataDir = Annotated[Path | None, typer.Option(help="Local folder of full datasets.")]
Revision = Annotated[str | None, typer.Option(help="Commit of the hub dataset.")]
BatchSize = Annotated[int | None, typer.Option(help="Prompts per model batch.", min=1)]
Replies = Annotated[
    int | None,
    typer.Option(
        help="MB of the model's replies kept across runs, not asked again; no throughput then.",
        envvar="MEMORY_HARNESS_REPLIES_MB",
        show_envvar=False,
        min=0,
    ),
]
RunsOut = Annotated[Path, typer.Option(help="Folder for the runs.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")]


def task_place(given: str) -> str:
    """A task as it is typed: a known name, else a folder with a task.yaml where one stands."""
    from harness.registry import is_known

    if "/" in given or not Path(given, "task.yaml").is_file():
        return given
    if is_known("tasks", given):
        typer.echo(f"task '{given}' is the known one; for the folder write ./{given}", err=True)
        return given
    return f"./{given}"


def task_values(
    split: str | None,
    questions: Path | None,
    train: Path | None,
    corpus: Path | None,
    data_dir: Path | None,
    revision: str | None,
) -> dict[str, Any]:
    """What options say of a task beside its name, as a board's entry has it."""
    files = {
        "questions": questions,
        "train": train,
        "corpus": corpus,
        "data_dir": data_dir,
        "revision": revision,
    }
    entry = {"split": split, "files": {k: v for k, v in files.items() if v is not None}}
    return {key: value for key, value in entry.items() if value}


def console() -> Console:
    """Where progress is shown: standard error."""
    from rich.console import Console

    return Console(stderr=True)


def load_plugins(plugins: list[str] | None) -> None:
    """Import what ``--plugin`` names."""
    from harness.registry import load_plugin

    for plugin in plugins or []:
        load_plugin(plugin)


def run_all(
    board: Board,
    out: Path,
    device: str | None,
    batch_size: int | None,
    retry_errors: bool,
    part: str | None = None,
    on: str | None = None,
) -> bool:
    """Prepare and run all of a board, or a part of it, here or on a cluster; whether any ran."""
    from harness.boards.on_ray import check_on
    from harness.boards.parts import Part
    from harness.boards.whole import run_whole

    folders = run_whole(
        board,
        out,
        console(),
        device=device,
        batch_size=batch_size,
        retry_errors=retry_errors,
        part=Part.parse(part) if part is not None else None,
        on=check_on(on) if on is not None else None,
    )
    return bool(folders)
