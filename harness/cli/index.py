"""The command ``index``: what a board will search, built ahead of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.common import DataDir, Plugins, Revision, Split, console, load_plugins, task_place
from harness.escape import utf8

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.retrieval.base import Retriever

_MB = 10**6


def index(
    corpus: Annotated[
        str, typer.Argument(help="A corpus file, a task's name, or a folder with a task.yaml.")
    ],
    retriever: Annotated[
        str, typer.Option(help="bm25, an encoder, or a plug-in's retriever.")
    ] = "bm25",
    param: Annotated[
        list[str] | None, typer.Option("-p", help="Setting of the retriever, k1=0.9, index=hnsw.")
    ] = None,
    split: Split = None,
    data_dir: DataDir = None,
    revision: Revision = None,
    plugin: Plugins = None,
) -> None:
    """Build a corpus's index, which the runs of a board then find in the cache."""
    from harness.cli.run import method_params
    from harness.meters.hardware import set_torch_threads
    from harness.meters.memory import PeakMemory
    from harness.progress import CallbackBar
    from harness.retrieval.open import open_retriever, retriever_config

    load_plugins(plugin)
    settings = method_params(param)
    retriever_config(retriever, settings)  # refuses what is wrong before anything is read
    set_torch_threads()
    with PeakMemory("cpu") as memory:
        passages = _open(corpus, split, data_dir, revision)
        with CallbackBar(console(), f"{corpus}: {retriever} index, passages") as progress:
            found = open_retriever(retriever, passages, settings=settings, progress=progress)
    for line in _report(corpus, passages, found, memory.record()["peak_bytes"]):
        typer.echo(utf8(line))


def _open(corpus: str, split: str | None, data_dir: Path | None, revision: str | None) -> Corpus:
    from harness.boards.task_entry import TaskSource
    from harness.cli.common import task_values
    from harness.errors import ConfigError

    if not Path(corpus).is_file():
        entry = task_values(split, None, None, None, data_dir, revision)
        return TaskSource.model_validate({"name": task_place(corpus), **entry}).corpus()[1]
    if split or data_dir or revision:
        raise ConfigError(
            f"{corpus}: is a corpus file; leave out --split, --data-dir and --revision"
        )
    return _open_file(Path(corpus))


def _open_file(path: Path) -> Corpus:
    """The corpus of a file, unpacked and scanned with progress where it is large."""
    from harness.data.corpus import Corpus
    from harness.data.packed import packing, unpacked
    from harness.progress import CallbackBar

    total = path.stat().st_size
    if packing(path):
        with CallbackBar(console(), f"{path}: unpacking, MB") as unpacking:
            unpacked(path, lambda at: unpacking(at // _MB, total // _MB))
    with CallbackBar(console(), f"{path}: reading, MB") as reading:
        return Corpus.open(path, lambda at, whole: reading(at // _MB, whole // _MB))


def _report(corpus: str, passages: Corpus, found: Retriever, peak: int) -> Iterator[str]:
    from harness.retrieval.open import is_own

    text = f"{passages.text_bytes / _MB:,.1f} MB of text"
    yield f"corpus     {corpus}: {len(passages):,} passages, {text}, {passages.fingerprint[:12]}"
    parts = ", ".join(f"{name} {size:,} bytes" for name, size in found.storage().items())
    yield f"index      {found.name}: {parts}"
    built = found.built
    if built is not None and built.cached:
        took = f"; building took {built.seconds:,.1f} s" if built.seconds else ""
        yield f"built      it is there already{took}"
    elif built is not None:
        before = (built.seconds or built.now) - built.now
        yield f"built      in {built.now:,.1f} s" + (
            f", and {before:,.1f} s before" if before else ""
        )
    if recall := found.provenance().get("recall"):
        yield (
            f"recall     Recall@{recall['k']} {recall['value']:.3f} against {recall['of']}; asked: "
            f"{recall['asked']}"
        )
    yield f"memory     {peak / _MB:,.0f} MB at most, with all processes"
    if is_own(type(found)):
        yield "self-test  passed: passages are found by their titles and words"
