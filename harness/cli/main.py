"""The commands: run, sweep, train, evaluate-write, leaderboard, compare, show, score and others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.common import Plugins, check_writable, console, load_plugins, update
from harness.cli.prepare import prepared
from harness.cli.sweep import sweep
from harness.errors import ConfigError, HarnessError
from leaderboards.commands import analyse
from methods.parametric_qa.cli.evaluate_write import evaluate_write
from methods.parametric_qa.cli.forgetting import evaluate_forgetting
from methods.parametric_qa.cli.map import map_memories
from methods.parametric_qa.cli.train import train
from methods.parametric_qa.cli.update import evaluate_update

if TYPE_CHECKING:
    from harness.boards.run import Board

INTERRUPTED = 130
# The base of typer's usage errors; which module it lives in depends on typer's version.
_USAGE_ERROR: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="memory-harness",
    help="Compare ways of giving a language model a memory: quality, latency, memory, storage.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RunsFolder = Annotated[Path, typer.Argument(help="Folder of runs (the --out of 'run').")]


@app.command()
def run(
    board: Annotated[str | None, typer.Argument(help="Board name or YAML file.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs"),
    method: Annotated[str | None, typer.Option(help="Run this method alone.")] = None,
    task: Annotated[str | None, typer.Option(help="Run on this task alone.")] = None,
    param: Annotated[list[str] | None, typer.Option("-p", help="Method parameter, k=10.")] = None,
    model: Annotated[str | None, typer.Option(help="Catalogue name, hf:ORG/NAME, path:…")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N questions.")] = None,
    documents: Annotated[
        int | None, typer.Option(help="Corpus of N passages, the questions' gold among them.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of samples and demonstrations.")] = None,
    split: Annotated[str | None, typer.Option(help="'sample', or a split of the full set.")] = None,
    questions: Annotated[Path | None, typer.Option(help="Questions, FlashRAG JSONL.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="Corpus, FlashRAG JSONL.")] = None,
    train: Annotated[Path | None, typer.Option(help="Train questions, FlashRAG JSONL.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Local folder of full datasets.")] = None,
    revision: Annotated[str | None, typer.Option(help="Commit of the hub dataset.")] = None,
    latency_queries: Annotated[int | None, typer.Option(help="Queries timed singly.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Prompts per model batch.", min=1)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    plugin: Plugins = None,
) -> None:
    """Answer, measure and score the runs of a board, or of one method on one task.

    Finished runs are kept; an interrupted one continues where it stopped.
    """
    from harness.boards.run import plan_runs, run_board

    load_plugins(plugin)
    files = {
        "questions": questions,
        "corpus": corpus,
        "train": train,
        "data_dir": data_dir,
        "revision": revision,
    }
    entry = {"split": split, "files": {k: v for k, v in files.items() if v is not None}}
    chosen = _board(board, method, task, _params(param), entry)
    updates: dict[str, Any] = {
        "models": (model,) if model else None,
        "limit": limit,
        "documents": documents,
        "seeds": (seed,) if seed is not None else None,
        "latency": {"queries": latency_queries} if latency_queries is not None else None,
    }
    changed = update(chosen, updates)
    check_writable(out)
    plans = list(plan_runs(prepared(changed, out, device), device))
    run_board(plans, out, console(), batch_size=batch_size, device=device)
    if plans:
        typer.echo(f"next: memory-harness leaderboard {out}", err=True)


app.command()(sweep)
app.command()(train)
app.command()(evaluate_write)
app.command()(evaluate_forgetting)
app.command()(evaluate_update)
app.command()(analyse)
app.command()(map_memories)


@app.command()
def leaderboard(
    runs: RunsFolder,
    format: Annotated[str, typer.Option(help="markdown, csv or json.")] = "markdown",
    output: Annotated[Path | None, typer.Option(help="Also write it to this file.")] = None,
    k: Annotated[int, typer.Option(help="Recall and All-gold at 5, 10, 15 or 20.")] = 5,
) -> None:
    """Print the tables of all finished and scored runs."""
    from importlib import import_module

    from harness.files import atomic_file, writing

    text: str = import_module("leaderboards.table").render(runs, format, k)
    typer.echo(text)
    if output is not None:
        with writing(output):
            output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(output) as file:
            file.write(text.rstrip("\n").encode() + b"\n")
        typer.echo(f"written to {output}", err=True)


@app.command()
def compare(
    runs: RunsFolder,
    base: Annotated[str, typer.Argument(help="A row of the leaderboard, as it is written there.")],
    other: Annotated[str, typer.Argument(help="The row compared with it.")],
    metric: Annotated[
        str, typer.Option(help="em, f1, contains, recall@5, all_gold@15, ...")
    ] = "f1",
) -> None:
    """Print the paired difference of two rows on one score, with interval and p-value."""
    from importlib import import_module

    typer.echo(import_module("leaderboards.compare").compare(runs, base, other, metric))


@app.command()
def show(
    run: Annotated[Path, typer.Argument(help="A run's folder, or one that holds several runs.")],
    question_id: Annotated[str, typer.Argument(help="The question's id.")],
    full: Annotated[bool, typer.Option(help="Print prompts and passages in full.")] = False,
) -> None:
    """Tell one question's story: what was asked, retrieved, thought and answered."""
    from harness.cli.show import story

    typer.echo(story(run, question_id, full=full))


@app.command()
def score(runs: RunsFolder) -> None:
    """Score finished runs again from their predictions; no model is needed."""
    from harness.runs.directory import find_runs
    from harness.runs.scoring import score_run

    for folder in find_runs(runs):
        done = score_run(folder)
        typer.echo(f"{folder}: {'scored' if done else 'unfinished, left alone'}")


@app.command()
def embed(
    corpus: Annotated[Path, typer.Argument(help="Corpus, FlashRAG JSONL.")],
    encoder: Annotated[str, typer.Option(help="An encoder of the catalogue.")] = "dense",
) -> None:
    """Compute a corpus's passage vectors and keep them beside it, in vectors/."""
    from harness.data.corpus import Corpus
    from harness.meters.hardware import set_torch_threads
    from harness.progress import CallbackBar
    from harness.retrieval.dense import embedding_folder
    from harness.retrieval.embeddings import EmbeddingStore, embed_corpus, write_beside
    from harness.retrieval.encoders import open_encoder

    set_torch_threads()
    passages, model = Corpus.open(corpus), open_encoder(encoder)
    store = EmbeddingStore(embedding_folder(model))
    with CallbackBar(console(), f"{corpus}: {model.name}") as progress:
        embed_corpus(passages, model, store, progress)
    typer.echo(f"written to {write_beside(passages, model, store)}")


@app.command("list")
def list_names(
    kind: Annotated[str, typer.Argument(help="methods, tasks, models, encoders or boards.")],
    plugin: Plugins = None,
) -> None:
    """List what there is, one name a line."""
    from harness.cli.describe import names

    load_plugins(plugin)
    for name, summary in names(kind):
        typer.echo(f"{name:32} {summary}".rstrip())


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="A method, task, model, encoder or board.")],
    plugin: Plugins = None,
) -> None:
    """Show the card of one method, task, model, encoder or board."""
    from harness.cli.describe import describe_name

    load_plugins(plugin)
    typer.echo(describe_name(name))


@app.command()
def doctor() -> None:
    """Say what works on this machine."""
    from harness.cli.doctor import findings

    for label, finding in findings():
        typer.echo(f"{label:18} {finding}")


def main() -> None:
    """Entry point: errors a user can act on are one line and exit status 2."""
    try:
        code = app(standalone_mode=False)
    except HarnessError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except _USAGE_ERROR as error:
        message = error.format_message()
        # Without any argument the message is the help page.
        typer.echo(message if "\n" in message else f"error: {message}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        typer.echo("stopped; the same command continues where it was", err=True)
    sys.exit(code or 0)


def _params(pairs: list[str] | None) -> dict[str, Any]:
    import yaml

    params = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise ConfigError(f"-p {pair}: write it as NAME=VALUE, such as -p k=10")
        try:
            params[key.strip()] = yaml.safe_load(value) if value else ""
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
    from harness.boards.run import parse_board, read_board

    entry = {key: value for key, value in entry.items() if value}
    if board is not None:
        if method or task or params or entry:
            raise ConfigError(
                "a board names its own methods, tasks and files; with one, give only --model, "
                "--limit, --documents, --seed and --latency-queries"
            )
        return read_board(board)
    if method is None or task is None:
        raise ConfigError("name a board, or give --method and --task")
    values = {"name": task, **entry}
    return parse_board(
        {"name": method, "tasks": [values], "methods": [{"name": method, "params": params}]},
        "command line",
    )
