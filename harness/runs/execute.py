"""One run from its config to a scored, measured run directory. Every phase can be done alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engine import Engine
from harness.errors import RunFailedError
from harness.files import writing
from harness.llm.base import LanguageModel
from harness.method import Method
from harness.progress import bar
from harness.records import Query
from harness.retrieval.base import Retriever
from harness.runs.answers import AnswerWriter, stopping
from harness.runs.directory import RunDirectory
from harness.runs.ending import end_asking, end_run, note_cost
from harness.runs.gold import gold_path, write_gold
from harness.runs.manifest import is_finished
from harness.runs.new_manifest import new_manifest
from harness.runs.opening import NOT_NOTED, Opened, open_method
from harness.runs.other_machines import file_hardware, going_on
from harness.runs.performance import Storage, read_performance, update_performance
from harness.runs.plan import RunPlan
from harness.runs.provenance import note_model
from harness.runs.reusing import reusing
from harness.runs.scoring import score_run
from harness.runs.session import Session
from harness.runs.stamp import check_manifest, is_scored
from harness.runs.timing import time_queries
from harness.runs.unanswered import read_unanswered
from harness.runs.write_phase import Loaded, calling, memory_path, write_memory

if TYPE_CHECKING:
    from rich.console import Console


def execute(
    plan: RunPlan,
    root: Path,
    llm: LanguageModel,
    retriever: Retriever | None,
    console: Console,
    opened: Opened = NOT_NOTED,
) -> Path:
    """Bring one run to completion and return its folder; finished phases are not done again.

    The model must have what the method needs (``check_needs``, ``Method.check_model``). What is to
    be measured in a process of its own is left to that one.
    """
    # A copy: the index or memory that a run opens goes with it and weighs on no other run.
    run = _Run(plan, copy(plan.method), llm, retriever, console, opened)
    with llm.adapted(plan.method.adapter):
        return run.execute(root)


@dataclass(frozen=True, slots=True)
class _Run:
    """A plan being executed, with the method that it opens."""

    plan: RunPlan
    method: Method
    llm: LanguageModel
    retriever: Retriever | None
    console: Console
    opened: Opened

    def execute(self, root: Path) -> Path:
        """Every phase that is not done yet."""
        plan, folder = self.plan, self.plan.config.folder(root)
        engine = self.open_method(plan.window)
        with writing(root):
            write_gold(gold_path(root, plan.config.task), plan.data.questions)
        with (
            RunDirectory(folder, tuple(q.id for q in plan.data.questions)) as run,
            Session(folder, self.llm, timed=plan.is_timed) as session,
            ExitStack() as memory,
        ):
            manifest = new_manifest(plan, self.llm, self.retriever, folder)
            # Answers may have been taken out of a finished run, to be given again.
            finished = not plan.asks or (is_finished(folder) and not self.left(run))
            if is_finished(folder) and finished:
                check_manifest(folder)
            if not finished:
                run.write_manifest(going_on(run, manifest))
            place = memory_path(root, plan.config, type(self.method))
            shared = plan.measuring.processes
            loaded = write_memory(engine, self.method, plan.data, place, self.console, shared)
            memory.enter_context(self.llm.changed(self.method.changes))
            to_measure = not (plan.is_measured(root) or plan.measuring.is_elsewhere)
            if plan.measuring.timings and (to_measure or not finished):
                self.note_opening(run, loaded)
            if not finished:
                self.ask(engine, run, session)
            elif not plan._is_scored_alike(folder):
                run.change_manifest(**plan.data.card.scored_by)
            if finished and read_performance(folder).usage is None:  # its file was deleted
                note_cost(run, self.storage())
            if not is_scored(folder):
                score_run(folder)
            # Last, so that a leaderboard made meanwhile finds every finished run scored.
            if to_measure:
                self.measure(run)
                file_hardware(run, manifest.hardware)
        return folder

    def left(self, run: RunDirectory) -> list[Query]:
        """What is still to be asked, or to be asked again."""
        return self.plan.left(run.answered, run.failed)

    def open_method(self, window: int) -> Engine:
        """An engine, and the method opened with what it lends."""
        data, seed = self.plan.data, self.plan.config.seed
        return open_method(self.method, data, seed, self.llm, self.retriever, window)

    def note_opening(self, run: RunDirectory, loaded: Loaded | None) -> None:
        """Put down what building and opening took."""
        written, seconds = (loaded.written, loaded.seconds) if loaded else (None, None)
        cold, index = self.opened.cold_start(seconds), self.opened.index
        parts = {"write": written, "index": index, "cold_start": cold}
        if known := {name: part for name, part in parts.items() if part is not None}:
            update_performance(run.folder, **known)

    def ask(self, engine: Engine, run: RunDirectory, session: Session) -> None:
        """Ask what is left; the run ends if every question is answered or was left unanswered."""
        before = read_unanswered(run.folder)
        ended_before = {q.id for q in self.plan.asked} <= run.answered | before.keys()
        try:
            unanswered = self.answer(engine, run, session)
        except RunFailedError:
            # Only asked again: what the earlier sessions came to still stands.
            if ended_before:
                self.end(run, before)
            raise
        self.end(run, unanswered)

    def end(self, run: RunDirectory, unanswered: Mapping[str, str]) -> None:
        """Put down that every question was asked; a shard is never a finished run."""
        if self.plan.shard is None:
            end_run(run, unanswered, self.storage())
        else:
            end_asking(run, (q.id for q in self.plan.asked), unanswered, self.storage())

    def answer(self, engine: Engine, run: RunDirectory, session: Session) -> dict[str, str]:
        """Ask what is left and return why what of it was left unanswered, by question id."""
        left, everything = self.left(run), len(self.plan.asked)
        with (
            bar(self.console, self.plan.label, everything, everything - len(left)) as shown,
            session.answering(lambda: keep.written) as note,
            reusing(engine, run, self.plan.reply_megabytes) as note_replies,
        ):

            def advance(steps: int) -> None:
                shown.advance(steps)
                note()
                note_replies()
                if self.llm.concurrency:  # at once, not at the end: a run may be killed
                    note_model(run, self.llm)

            keep = AnswerWriter(run, advance)
            try:
                keep.answer(engine, self.method, left)
            finally:
                note_model(run, self.llm)
        return keep.unanswered

    def storage(self) -> Storage:
        """The method's own account."""
        with calling(self.plan.label, "storage"):
            return Storage.of(self.method.storage())

    def measure(self, run: RunDirectory) -> None:
        """Time single queries, those that were answered in the batches."""
        queries = [q.query for q in self.plan.data.questions if q.id in run.answered]
        label = self.plan.label
        with stopping(f"{label}: stopped while single queries were timed, all answers are kept"):
            time_queries(
                self.open_method(window=1),
                self.method,
                queries,
                run,
                self.plan.measuring,
                device=str(self.llm.provenance().get("device", "remote")),
                label=label,
                console=self.console,
                baseline=self.opened.baseline_bytes,
            )
