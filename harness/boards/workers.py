"""Workers: processes that answer different runs of a board at once, each with its own model.

They share the cores, since a second thread makes one run little faster, and time nothing: this
process does that when they are gone. Each takes the next run that builds no index and writes no
memory which another is at. One that dies costs the run it was at; what nobody began is left to this
process. When this one ends, however it does, they end too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Condition, Lock
from typing import TYPE_CHECKING, ClassVar, Protocol

from harness.boards.config import Board
from harness.boards.elsewhere import as_json, environment, told
from harness.boards.parts import Part
from harness.cores import wanted_threads
from harness.errors import HarnessError, RunFailedError
from harness.fingerprint import canonical_json
from harness.method import writes_memory
from harness.progress import Bar, bar, say
from harness.runs.usage import cautions
from harness.runs.write_phase import is_written, memory_path

if TYPE_CHECKING:
    from harness.boards.so_far import SoFar
    from harness.runs.plan import RunPlan

COMMAND = (sys.executable, "-m", "harness.boards.worker")
KEY = "workers"
EVENT = "\x1e"
"""Begins what a worker tells; whatever else it writes is for people."""
# Rich and tqdm would draw bars that move, into a pipe.
_PLAIN = {
    "FORCE_COLOR": "",
    "TTY_COMPATIBLE": "0",
    "TQDM_DISABLE": "1",
    "PYTHONIOENCODING": "utf-8:backslashreplace",
}

Process = subprocess.Popen[str]


class Answerers(Protocol):
    """Other processes that answer a board's runs, so that this one only measures them."""

    key: ClassVar[str]
    """What a board or an option asks for them by."""
    fewest: ClassVar[int]
    """Runs for which they are worth while."""

    def answer(
        self, plans: Sequence[RunPlan], so_far: SoFar, failures: list[HarnessError]
    ) -> list[RunPlan]:
        """Have every run answered; returns those that are to be measured here, or to be begun.

        What stopped a run is added to ``failures``.
        """


@dataclass(frozen=True, slots=True)
class Workers:
    """So many workers for a board, and how they open models."""

    board: Board
    root: Path
    batch_size: int | None = None
    device: str | None = None
    retry_errors: bool = False
    part: Part | None = None
    key: ClassVar[str] = KEY
    fewest: ClassVar[int] = 2

    def answer(
        self, plans: Sequence[RunPlan], so_far: SoFar, failures: list[HarnessError]
    ) -> list[RunPlan]:
        """Have every run answered; returns those that are to be measured here, or to be begun.

        They come model by model, and those that share an index together. What stopped a run is
        added to ``failures``. An interrupt ends the workers.
        """
        count = min(self.board.workers, len(plans))
        threads = max(1, wanted_threads() // count)
        share = f"{threads} thread{'' if threads == 1 else 's'}"
        say(so_far.console, f"{count} processes answer, each with its own model and {share}")
        with (
            TemporaryDirectory(prefix="memory-harness-") as replies,
            ThreadPoolExecutor(count) as pool,
            ExitStack() as running,
        ):
            request = self.request(count, replies)
            crew = _Crew(_Left(list(plans), self.root), request, so_far, failures)
            running.callback(crew.left.drop)
            crew.shown = running.enter_context(bar(so_far.console, "runs answered", len(plans)))
            started = [running.enter_context(_started(threads)) for _ in range(count)]
            for served in [pool.submit(crew.serve, process) for process in started]:
                served.result()
            begun_by_none = {plan.config.run_id for plan in crew.left.plans}
        todo = [
            plan if plan.config.run_id in begun_by_none else replace(plan, asks=False)
            for plan in plans
            if plan.config.run_id in begun_by_none | crew.answered
        ]
        # Nobody waits for rows any more, so each index is opened once.
        models = [plan.model for plan in plans]
        return sorted(todo, key=lambda plan: (models.index(plan.model), *index_of(plan)))

    def request(self, count: int, replies: str) -> str:
        """What each of so many is told first; ``replies`` is the folder that they share."""
        options = {
            "batch_size": self.batch_size,
            "device": self.device,
            "retry_errors": self.retry_errors,
            "part": self.part,
            "processes": count,
            "replies": replies,
        }
        return json.dumps(told(as_json(self.board, KEY, workers=1), self.root, **options))


@dataclass(slots=True)
class _Left:
    """Runs that no worker has taken, and what those at work may be building, by run id."""

    plans: list[RunPlan]
    root: Path
    building: dict[str, set[str]] = field(default_factory=dict)
    built: set[str] = field(default_factory=set)
    changed: Condition = field(default_factory=Condition)

    def take(self) -> RunPlan | None:
        """The first run that builds nothing which another is at; waits until one does not."""
        with self.changed:
            while self.plans:
                at_work = {each for needed in self.building.values() for each in needed}
                for place, plan in enumerate(self.plans):
                    needed = self._needed(plan) - self.built
                    if not needed & at_work:
                        self.building[plan.config.run_id] = needed
                        return self.plans.pop(place)
                self.changed.wait()
            return None

    def opened(self, plan: RunPlan) -> None:
        """The run's index is there for all."""
        with self.changed:
            self.built |= index_of(plan)
            self.building[plan.config.run_id] -= index_of(plan)
            self.changed.notify_all()

    def ended(self, plan: RunPlan) -> None:
        """Whatever became of the run, it builds no more."""
        with self.changed:
            del self.building[plan.config.run_id]
            self.changed.notify_all()

    def drop(self) -> None:
        """Hand out no more."""
        with self.changed:
            self.plans.clear()
            self.changed.notify_all()

    def _needed(self, plan: RunPlan) -> set[str]:
        memory = memory_path(self.root, plan.config, type(plan.method))
        writes = writes_memory(type(plan.method)) and not is_written(memory)
        # The run itself, too: a board may name it twice.
        return {plan.config.run_id, *index_of(plan), *({str(memory)} if writes else ())}


@dataclass(slots=True)
class _Crew:
    """What the workers are handed and what became of it, told in one place."""

    left: _Left
    request: str
    so_far: SoFar
    failures: list[HarnessError]
    answered: set[str] = field(default_factory=set)
    shown: Bar | None = None
    lock: Lock = field(default_factory=Lock)

    def serve(self, process: Process) -> None:
        """Hand one worker run after run, until there are no more or it has died."""
        self._write(process, self.request)
        while (plan := self.left.take()) is not None:
            try:
                self._write(process, plan.config.run_id)
                self._follow(process, plan)
                self._note_answered(plan)
            except HarnessError as error:
                self._note_failure(error)
            finally:
                self.left.ended(plan)
            if process.poll() is not None:
                return

    def _follow(self, process: Process, plan: RunPlan) -> None:
        """Show what a worker says until the run is answered. Raises RunFailedError."""
        assert process.stdout is not None
        for line in process.stdout:
            said, is_event, written = line.rstrip("\n").partition(EVENT)
            if said.strip():
                self._say(plan, said)
            event: Mapping[str, str] = json.loads(written) if is_event else {}
            if "failed" in event:
                raise RunFailedError(event["failed"])
            if "opened" in event:
                self.left.opened(plan)
            if "answered" in event:
                return
        code = process.wait()
        how = f"signal {-code} ended it" if code < 0 else f"it ended with exit status {code}"
        raise RunFailedError(
            f"{plan.label}: the worker that answered it is gone (process {process.pid}): {how}; "
            "see to its memory and run again, answers so far are kept"
        )

    def _note_answered(self, plan: RunPlan) -> None:
        console = self.so_far.console
        with self.lock:
            for caution in cautions(plan.config.folder(self.left.root)):
                say(console, f"warning: {plan.label}: {caution}")
            self.so_far.add(plan)
            self.answered.add(plan.config.run_id)
            if self.shown is not None:
                self.shown.advance()

    def _note_failure(self, error: HarnessError) -> None:
        with self.lock:
            # A model that cannot be loaded stops all its runs, and each worker.
            if str(error) not in map(str, self.failures):
                self.failures.append(error)

    def _say(self, plan: RunPlan, text: str) -> None:
        """A worker's line; with the run before it where it does not say which it is of."""
        is_named = text.startswith((f"{plan.data.name} / ", f"{plan.data.name}: "))
        say(self.so_far.console, text if is_named else f"{plan.label}: {text}")

    @staticmethod
    def _write(process: Process, line: str) -> None:
        assert process.stdin is not None
        with suppress(OSError):  # that it died shows when it tells nothing
            process.stdin.write(f"{line}\n")
            process.stdin.flush()


@contextmanager
def _started(threads: int) -> Iterator[Process]:
    """A worker, which is gone when the block ends."""
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # one after the other, as it was written
        encoding="utf-8",
        errors="replace",
        env=environment(OMP_NUM_THREADS=str(threads), **_PLAIN),
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            with suppress(OSError):
                assert process.stdin is not None
                process.stdin.close()


def index_of(plan: RunPlan) -> set[str]:
    """What stands for the run's index, if it has one."""
    if plan.config.retriever is None:
        return set()
    return {canonical_json([plan.config.retriever, plan.data.corpus_fingerprint])}
