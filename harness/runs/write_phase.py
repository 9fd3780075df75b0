"""The write phase: a method builds its memory once; later runs with the same memory load it.

Layout of ``RUNS/<task>/.memory/<method>-<id>/``: ``memory/`` as the method wrote it, ``write.json``
(how long it took) and, until it is finished, ``scratch/``. The id leaves out which questions are
asked, so that runs on more questions write nothing again.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
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
from harness.method import Method, writes_memory
from harness.progress import bar
from harness.records import Question
from harness.runs.answers import AnswerWriter
from harness.runs.directory import MEMORY_FOLDER, RunDirectory
from harness.runs.manifest import RunConfig
from harness.runs.predictions import read_predictions
from harness.runs.session import NOTED_EVERY, every

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.data.task import TaskData


def memory_path(root: Path, config: RunConfig) -> Path:
    """Where the memory of a run lies; runs that differ in their questions alone share it."""
    name = f"{check_slug(config.method.name, 'method')}-{config.memory_id}"
    return root / check_slug(config.task.name, "task") / MEMORY_FOLDER / name


def is_written(place: Path) -> bool:
    """Whether a memory is complete."""
    return (place / "write.json").exists()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A memory that was loaded: what is recorded of its writing, and the seconds of loading it."""

    written: dict[str, Any]
    seconds: float


def write_memory(method: Method, data: TaskData, place: Path, processes: int = 1) -> Loaded | None:
    """Write a method's memory at ``place`` unless an earlier run did; then load it.

    Returns None for a method without a memory. ``processes``, of this board, share the cores.
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
                _write(method, data, place, label, processes)
    # Any number may read; what a writer killed at its end left is in nobody's way.
    shutil.rmtree(place / "scratch", ignore_errors=True)
    start = monotonic()
    with calling(label, "load"):
        method.load(place / "memory")
    return Loaded(read_json(place / "write.json"), round(monotonic() - start, 3))


def _write(method: Method, data: TaskData, place: Path, label: str, processes: int) -> None:
    scratch, memory = place / "scratch", place / "memory"
    with writing(place):
        scratch.mkdir(exist_ok=True)
        shutil.rmtree(memory, ignore_errors=True)
        memory.mkdir()
    clock = scratch / "seconds.json"
    before: dict[str, Any] = read_json(clock) if clock.exists() else {"seconds": 0.0}
    most = max(processes, before.get("processes", 1))
    shared = {"processes": most} if most > 1 else {}
    start = monotonic()
    with_scratch = copy(method)
    # No gold, even for an oracle: runs on other questions share the memory.
    with_scratch.open(replace(method.lent, scratch=scratch, gold={}))

    def note() -> None:
        seconds = round(before["seconds"] + monotonic() - start, 3)
        write_json(clock, {"seconds": seconds, **shared})

    with every(NOTED_EVERY, note), calling(label, "write"):
        with_scratch.write(data.corpus, data.train, memory)
    # Last, so that a memory is complete wherever this file is.
    write_json(place / "write.json", read_json(clock))
    shutil.rmtree(scratch, ignore_errors=True)


def answer_train(
    parent: Method, strategy: Method, corpus: Corpus, questions: Sequence[Question], label: str
) -> dict[str, dict[str, Any]]:
    """Answer train questions with another method, inside ``parent.write``.

    Returns their rows by question id, in the order of the questions. Raises RunFailedError if a
    server left one unanswered.

    The strategy gets the parent's model, retriever, prompts and seed. Shows progress; answers are
    kept in the parent's scratch folder, so that an interrupted write goes on where it was.
    """
    from rich.console import Console

    ids = tuple(question.id for question in questions)
    engine = Engine(parent.llm.model, parent.retriever.backend, corpus)
    strategy.open(engine.lend(prompts=parent.prompts, seed=parent.seed))
    with TemporaryDirectory() as temporary:
        folder = (parent.scratch or Path(temporary)) / check_slug(label, "label")
        with RunDirectory(folder, ids) as kept:
            left = [q.query for q in questions if q.id not in kept.answered]
            with bar(Console(stderr=True), label, len(ids), len(ids) - len(left)) as shown:
                keep = AnswerWriter(kept, shown.advance)
                keep.answer(engine, strategy, left)
        if keep.unanswered:
            # What is learnt from a server's failures would be wrong, and for ever.
            raise RunFailedError(
                f"{label}: train questions left unanswered: {len(keep.unanswered)}; see to the "
                "model's server and run again, answers so far are kept; the last: "
                + list(keep.unanswered.values())[-1]
            )
        path = kept.predictions_path
        rows = {row["question_id"]: row for _, row in read_predictions(path)} if ids else {}
        return {question_id: rows[question_id] for question_id in ids}


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
