"""One run from its config to a scored, measured run directory. Every phase can be done alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from harness.data.demonstrations import qa_prompts
from harness.engine import Engine
from harness.errors import RunFailedError
from harness.files import writing
from harness.llm.base import LanguageModel
from harness.llm.catalogue import ModelConfig
from harness.method import Method
from harness.metrics import added_metrics
from harness.progress import bar
from harness.records import Prediction
from harness.retrieval.base import Retriever
from harness.runs.answers import AnswerWriter
from harness.runs.directory import RunDirectory
from harness.runs.manifest import (
    MANIFEST,
    CardRecord,
    Hardware,
    Harness,
    Manifest,
    RunConfig,
    read_manifest,
)
from harness.runs.performance import (
    Latency,
    Storage,
    Throughput,
    Usage,
    read_performance,
    update_performance,
)
from harness.runs.predictions import read_predictions
from harness.runs.scoring import gold_path, is_scored, score_run, write_gold
from harness.runs.write_phase import calling, memory_path, write_memory

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.task import TaskData


@dataclass(frozen=True, slots=True)
class Measuring:
    """How latency is measured: single queries from the front of the questions, after a warm-up."""

    queries: int = 50
    warmup: int = 5


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run that is to exist: its config, and the loaded things the config names."""

    config: RunConfig
    method: Method
    model: ModelConfig
    data: TaskData
    measuring: Measuring = Measuring()
    window: int = 128

    @property
    def label(self) -> str:
        """What progress bars and messages call this run."""
        return f"{self.config.task.name} / {self.config.method.name}"

    def is_complete(self, root: Path) -> bool:
        """Whether nothing is left to do: answered, measured and scored."""
        folder = self.config.folder(root)
        return (
            _is_finished(folder)
            and gold_path(root, self.config.task).exists()
            and self._has_metrics(folder)
            and is_scored(folder)
            and self._is_measured(folder)
        )

    @property
    def added_metrics(self) -> tuple[str, ...]:
        """Answer metrics that the task names beside those always scored."""
        return added_metrics(self.data.card.metrics)

    def _has_metrics(self, folder: Path) -> bool:
        return read_manifest(folder).metrics == self.added_metrics

    def _is_measured(self, folder: Path) -> bool:
        wanted = min(self.measuring.queries, len(self.data.questions))
        latency = read_performance(folder).latency
        return len(latency.seconds if latency else ()) >= wanted


def execute(
    plan: RunPlan,
    root: Path,
    llm: LanguageModel,
    retriever: Retriever | None,
    console: Console,
) -> Path:
    """Bring one run to completion and return its folder; finished phases are not done again.

    The model must have what the method needs (``check_needs``, ``Method.check_model``).
    """
    # A copy: the index or memory that a run opens goes with it and weighs on no other run.
    run = _Run(plan, copy(plan.method), llm, retriever, console)
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

    def execute(self, root: Path) -> Path:
        """Every phase that is not done yet."""
        plan, folder = self.plan, self.plan.config.folder(root)
        ids = tuple(question.id for question in plan.data.questions)
        engine = self.open_method(plan.window)
        with writing(root):
            write_gold(gold_path(root, plan.config.task), plan.data.questions)
        with RunDirectory(folder, ids) as run:
            manifest = _manifest(plan, self.llm, self.retriever)
            # Answers may have been taken out of a finished run, to be given again.
            finished = _is_finished(folder) and len(run.answered) == len(ids)
            if not finished:
                _forget_other_hardware(run, manifest.hardware)
                run.write_manifest(manifest)
            write_memory(self.method, plan.data, memory_path(root, plan.config), run)
            if not finished:
                self.answer(engine, run)
                run.finish()
                update_performance(folder, usage=_mean_usage(run), storage=self.storage())
                run.write_manifest(manifest.model_copy(update={"status": "finished"}))
            elif not plan._has_metrics(folder):
                _replace(run, metrics=plan.added_metrics)
            if not is_scored(folder):
                score_run(folder)
            # Last, so that a leaderboard made meanwhile finds every finished run scored.
            if not plan._is_measured(folder):
                self.measure(run)
                _file_hardware(run, manifest.hardware)
        return folder

    def open_method(self, window: int) -> Engine:
        """An engine, and the method opened with what it lends."""
        data, config = self.plan.data, self.plan.config
        engine = Engine(self.llm, self.retriever, data.corpus, window=window)
        gold = {q.id: q for q in data.questions} if self.method.card.oracle else {}
        prompts = qa_prompts(data, self.method.params.shots, config.seed)
        task = data.card if self.method.reads_task else None
        self.method.open(engine.lend(prompts=prompts, seed=config.seed, gold=gold, task=task))
        return engine

    def answer(self, engine: Engine, run: RunDirectory) -> None:
        """Ask what is not answered yet."""
        questions = self.plan.data.questions
        left = [question.query for question in questions if question.id not in run.answered]
        start = monotonic()
        with bar(self.console, self.plan.label, len(questions), len(run.answered)) as shown:
            keep = AnswerWriter(run, shown.advance)
            try:
                engine.run(self.method, left, keep)
                keep.close(everything=len(left))
            finally:
                if keep.written:
                    _add_throughput(run.folder, keep.written, monotonic() - start)

    def storage(self) -> Storage:
        """The method's own account."""
        with calling(self.plan.label, "storage"):
            report = self.method.storage()
            return Storage(parts=dict(report.parts), documents=report.documents)

    def measure(self, run: RunDirectory) -> None:
        """Time single queries, and see that their answers are those of the batches."""
        from harness.meters.latency import measure_closed_loop

        plan, engine = self.plan, self.open_method(window=1)
        queries = [question.query for question in plan.data.questions[: plan.measuring.queries]]
        warmup = min(plan.measuring.warmup, len(queries))
        device = str(self.llm.provenance().get("device", "remote"))
        if warmup:
            with bar(self.console, f"{plan.label}, warm-up", warmup) as shown:
                engine.run(self.method, queries[:warmup], lambda _: shown.advance())
        with bar(self.console, f"{plan.label}, latency", len(queries)) as shown:
            latency, memory, answers = measure_closed_loop(
                engine, self.method, queries, device=device, on_query=shown.advance
            )
        same = _same_as_batched(run, answers)
        record = Latency(**latency, warmup=warmup, same_as_batched=same)
        update_performance(run.folder, latency=record, memory=memory)


def _is_finished(folder: Path) -> bool:
    return (folder / MANIFEST).exists() and read_manifest(folder).is_finished


def _same_as_batched(run: RunDirectory, answers: Mapping[str, Prediction]) -> int:
    batched = {row["question_id"]: row for _, row in read_predictions(run.predictions_path)}
    for key, single in answers.items():
        if single.error and not batched[key]["error"]:
            raise RunFailedError(
                f"{run.folder}: question {key!r} was answered before but failed while it was timed "
                f"({single.error}); run again, all answers are kept"
            )
    return sum(batched[key]["answer"] == single.answer for key, single in answers.items())


def _file_hardware(run: RunDirectory, hardware: Hardware) -> None:
    """A run timed on another machine than it was answered on keeps no throughput."""
    if read_manifest(run.folder).hardware.fingerprint != hardware.fingerprint:
        update_performance(run.folder, throughput=None)
        _replace(run, hardware=hardware)


def _forget_other_hardware(run: RunDirectory, hardware: Hardware) -> None:
    """A run that goes on on another machine keeps its answers and none of its timings."""
    if not (run.folder / MANIFEST).exists():
        return
    if read_manifest(run.folder).hardware.fingerprint != hardware.fingerprint:
        update_performance(run.folder, throughput=None, latency=None, memory=None)


def _replace(run: RunDirectory, **parts: Any) -> None:
    """Change parts of a manifest that is there; all else stays as it was written."""
    run.write_manifest(read_manifest(run.folder).model_copy(update=parts))


def _add_throughput(folder: Path, questions: int, seconds: float) -> None:
    """Sessions of an interrupted run add up."""
    before = read_performance(folder).throughput or Throughput(questions=0, seconds=0.0)
    total = Throughput(
        questions=before.questions + questions, seconds=round(before.seconds + seconds, 3)
    )
    update_performance(folder, throughput=total)


def _mean_usage(run: RunDirectory) -> Usage:
    rows = [row["usage"] for _, row in read_predictions(run.predictions_path)]
    return Usage(**{key: _known_mean([row[key] for row in rows]) for key in rows[0]})


def _known_mean(counts: Sequence[int | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return sum(known) / len(known) if len(known) == len(counts) else None


def _manifest(plan: RunPlan, llm: LanguageModel, retriever: Retriever | None) -> Manifest:
    from harness.meters.hardware import describe_hardware
    from harness.runs.provenance import harness_version, package_versions

    model = llm.provenance()
    hardware = describe_hardware().record(str(model.get("device", "remote")))
    return Manifest(
        schema_version=plan.config.schema_version,
        run_id=plan.config.run_id,
        config=plan.config,
        method_card=CardRecord(**asdict(plan.method.card)),
        non_default_params=plan.method.params.model_dump(mode="json", exclude_defaults=True),
        **({"method_provenance": dict(places)} if (places := plan.method.provenance) else {}),
        model_provenance=model,
        retriever_provenance=retriever.provenance() if retriever else None,
        task_provenance=dict(plan.data.provenance),
        **({"metrics": plan.added_metrics} if plan.added_metrics else {}),
        hardware=Hardware(**hardware),
        harness=Harness(**harness_version()),
        packages=package_versions(),
        created=datetime.now(UTC).date().isoformat(),
        status="running",
    )
