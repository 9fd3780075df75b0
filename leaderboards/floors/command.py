"""The command ``floors``: what a task's corpus takes at least, kept beside the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import (
    TASK_HELP,
    CorpusFile,
    DataDir,
    Device,
    Model,
    Questions,
    Revision,
    Split,
    console,
    task_place,
    task_values,
)
from harness.files import check_writable


def floors(
    task: Annotated[list[str], typer.Option(help=f"{TASK_HELP} May be given again.")],
    out: Annotated[Path, typer.Option(help="Folder of the runs that are shown.")] = Path("runs"),
    model: Model = None,
    passages: Annotated[
        int, typer.Option(help="Passages whose code length is asked for.", min=1)
    ] = 64,
    split: Split = None,
    questions: Questions = None,
    corpus: CorpusFile = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    documents: Annotated[
        int | None, typer.Option(help="The sub-pool of runs with --documents N.", min=1)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Their --limit, on which a sub-pool depends.", min=1)
    ] = None,
    device: Device = None,
) -> None:
    """Compute what a corpus takes packed and, with --model, coded by a language model.

    Tables and analyses of the runs in --out show it beside what the methods store. What was
    computed before is kept.
    """
    from harness.boards.config import TaskEntry
    from harness.boards.task_entry import load_task_data
    from harness.meters.hardware import default_device, set_torch_threads
    from harness.progress import say
    from leaderboards.floors import floors_line, floors_path
    from leaderboards.floors.file import make_floors

    entry = task_values(split, questions, None, corpus, data_dir, revision)
    asked = [TaskEntry(name=task_place(name), **entry) for name in task]
    check_writable(out)
    identity, opener = None, None
    if model is not None:
        from harness.llm.catalogue import resolve_model
        from harness.llm.identity import identity as identity_of
        from harness.llm.open import open_model

        config = resolve_model(model).on(device or default_device())
        identity = identity_of(config)
        set_torch_threads()
        opener = lambda: open_model(config, device=device)  # noqa: E731
    for one in asked:
        data = load_task_data(one.name, one.split, limit, one.files, documents)
        say(console(), f"{data.name}: {len(data.corpus):,} passages")
        found = make_floors(out, data.corpus, model=identity, open_model=opener, passages=passages)
        typer.echo("\n".join(floors_line(tuple(found.floors()))))
        typer.echo(f"written to {floors_path(out, data.corpus.fingerprint)}", err=True)
