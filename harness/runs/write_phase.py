"""The write phase: a method builds its memory once; later runs with the same memory load it.

Layout of ``RUNS/<task>/.memory/<method>-<id>/``: ``memory/`` as the method wrote it, ``write.json``
(what it took, ``performance.Write``) and, until it is finished, ``scratch/`` with all that the
model and the retriever replied meanwhile. The id leaves out which questions are asked, so that runs
on more questions write nothing again.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, dataclass, replace
from inspect import isawaitable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from harness.engine import Engine
from harness.errors import (
    HarnessError,
    MachineError,
    RunFailedError,
    describe_error,
    machine_failure,
)
from harness.files import check_slug, locked, read_json, write_json, writing
from harness.fingerprint import fingerprint
from harness.method import Method, writes_memory
from harness.records import Question
from harness.runs.directory import MEMORY_FOLDER
from harness.runs.manifest import RunConfig
from harness.runs.session import NOTED_EVERY, every
from harness.writing.journal import Counts, Journal
from harness.writing.under_way import UnderWay

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.corpus import Corpus
    from harness.data.task import TaskData

CALLS = "calls.jsonl"
"""In a scratch folder: what was asked, and replied."""


def memory_path(root: Path, config: RunConfig, cls: type[Method]) -> Path:
    """Where the memory of a run of a method lies."""
    name = check_slug(cls.writes_as or config.method.name, "method")
    place = f"{name}-{memory_id(config, cls)}"
    return root / check_slug(config.task.name, "task") / MEMORY_FOLDER / place


def memory_id(config: RunConfig, cls: type[Method]) -> str:
    """A hash of what decides a memory, which runs share that differ in their questions or in what
    the method says is only for answers, and a control with its method."""
    params = {k: v for k, v in config.method.params.items() if k not in cls.only_answers}
    own = {"name": cls.writes_as or config.method.name, "params": params}
    values = config.without_questions()
    values["method"] = config.method.written() | own
    if "retriever" in cls.only_answers:
        values["retriever"] = None
    return fingerprint(values)[:12]


def is_written(place: Path) -> bool:
    """Whether a memory is complete."""
    return (place / "write.json").exists()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A memory that was loaded: what is recorded of its writing, and the seconds of loading it."""

    written: dict[str, Any]
    seconds: float


def write_memory(
    engine: Engine,
    method: Method,
    data: TaskData,
    place: Path,
    console: Console,
    processes: int = 1,
) -> Loaded | None:
    """Write the memory of a method that ``engine`` opened, unless an earlier run did; then load it.

    It lies at ``place``. Returns None for a method without a memory. ``processes``, of this board,
    share the cores.
    """
    if not writes_memory(type(method)):
        return None
    label = f"{data.name} / {place.name}"
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    if not is_written(place):
        with locked(place, "memory"):
            # Another process may have come first.
            if not is_written(place):
                _write(engine, method, data, place, console, processes)
    # Any number may read; what a writer killed at its end left is in nobody's way.
    shutil.rmtree(place / "scratch", ignore_errors=True)
    start = monotonic()
    with calling(label, "load"):
        method.load(place / "memory")
    return Loaded(read_json(place / "write.json"), round(monotonic() - start, 3))


def _write(
    engine: Engine, method: Method, data: TaskData, place: Path, console: Console, processes: int
) -> None:
    scratch, memory, label = place / "scratch", place / "memory", f"{data.name} / {place.name}"
    with writing(place):
        scratch.mkdir(exist_ok=True)
        shutil.rmtree(memory, ignore_errors=True)
        memory.mkdir()
    clock = scratch / "seconds.json"
    before: dict[str, Any] = read_json(clock) if clock.exists() else {"seconds": 0.0}
    most = max(processes, before.get("processes", 1))
    shared = {"processes": most} if most > 1 else {}
    start = monotonic()

    def note() -> None:
        seconds = round(before["seconds"] + monotonic() - start, 3)
        write_json(clock, {"seconds": seconds, **shared})

    with every(NOTED_EVERY, note), calling(label, "write"):
        # A copy: what writing leaves in the object is not the run's to carry.
        counts = write(
            engine, copy(method), data.corpus, data.train, memory, scratch, console, label
        )
    # Last, so that a memory is complete wherever this file is.
    write_json(place / "write.json", read_json(clock) | (asdict(counts) if counts else {}))
    shutil.rmtree(scratch, ignore_errors=True)


def write(
    engine: Engine,
    method: Method,
    corpus: Corpus,
    train: Sequence[Question],
    folder: Path,
    scratch: Path,
    console: Console,
    label: str = "write",
) -> Counts | None:
    """Have an opened method write, going on from what ``scratch`` holds of earlier sessions.

    Returns what all of them asked; None where ``write`` is not awaited and so asks nothing that
    anybody counts. Raises RunFailedError if a server left something unanswered.
    """
    return at_work(
        engine, method, corpus, scratch, console, lambda: method.write(corpus, train, folder), label
    )


def at_work(
    engine: Engine,
    method: Method,
    corpus: Corpus,
    scratch: Path,
    console: Console,
    work: Callable[[], Awaitable[None] | None],
    label: str,
) -> Counts | None:
    """Have an opened method do what changes a memory, which may be awaited, as ``write`` does."""
    under_way = UnderWay(engine.window, engine.llm.release, console)
    with _blind(method), Journal(scratch / CALLS, engine.submit, corpus) as journal:
        lent = method.lent
        searches = "retriever" not in type(method).only_answers
        method.open(
            replace(
                lent,
                llm=lent.llm.through(journal.submit),
                retriever=lent.retriever.through(journal.submit, searches=searches),
                # No gold, even for an oracle: runs on other questions share the memory.
                gold={},
                scratch=scratch,
                under_way=under_way,
            )
        )
        asking = work()
        if not isawaitable(asking):
            return None
        engine.complete(under_way.whole(label, asking))
    return journal.counts


@contextmanager
def _blind(method: Method) -> Iterator[None]:
    """The method without the parameters of which it says that no memory depends on them."""
    params = method.params
    method.params = params.model_copy()
    for name in type(method).only_answers:
        method.params.__dict__.pop(name, None)
    try:
        yield
    finally:
        method.params = params


@contextmanager
def calling(label: str, name: str) -> Iterator[None]:
    """Turn an error inside a method's own code into one line that says where it happened."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        if told := machine_failure(error):
            raise MachineError(f"{label}: stopped in {name}(): {told}") from error
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise RunFailedError(
            f"{label}: {name}() failed with {describe_error(error)} "
            f"({last.filename}:{last.lineno}); mend it and run again"
        ) from error
