"""What the harness itself costs: 3,610 questions through models that take no time.

Run as ``python -m tests.benchmarks.overhead``. The whole path is timed: engine, durable
predictions, manifest, scoring. Real questions of the shipped tasks are asked; only the model and
the retriever are stand-ins.
"""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from rich.console import Console

from harness.boards.method_entry import load_method
from harness.data.card import Task
from harness.data.corpus import Corpus
from harness.data.questions import questions_fingerprint
from harness.data.task import TaskData, load_task
from harness.llm.model_config import ModelConfig
from harness.method import Method, MethodCard
from harness.records import Passage, Prediction, Query
from harness.registry import task_folder
from harness.retrieval.base import Retriever
from harness.runs.execute import execute
from harness.runs.manifest import MethodConfig, ModelSettings, RunConfig, TaskConfig
from harness.runs.measuring import Measuring
from harness.runs.performance import read_performance
from harness.runs.plan import RunPlan
from harness.runs.scoring import score_run
from harness.testing.models import RuleModel

QUESTIONS = 3610


class FixedRetriever(Retriever):
    """Returns the first passages of the corpus."""

    name = "fixed"

    def __init__(self, corpus: Corpus) -> None:
        self._passages = [replace(corpus[n], score=1.0 - n / 100) for n in range(20)]

    def search(self, queries: Sequence[str], k: int) -> list[list[Passage]]:
        return [self._passages[:k] for _ in queries]

    def storage(self) -> dict[str, int]:
        return {"sparse index": 0}


class Branching(Method):
    """One to five rounds, each of two branches that search and read."""

    card = MethodCard("Branching", "For benchmarks.")
    retriever_name = "bm25"

    async def answer(self, query: Query) -> Prediction:
        text, passages = query.text, []
        for turn in range(1 + sum(query.id.encode()) % 5):
            found = await asyncio.gather(*(self._branch(query, f"{text} {turn} {n}") for n in "ab"))
            passages += found
        return Prediction(str(len(passages)), passages)

    async def _branch(self, query: Query, text: str) -> Passage:
        passages = await self.retriever.search(text, k=2)
        await self.llm.generate(self.prompts.read(query, passages), max_tokens=8)
        return passages[0]


@dataclass(frozen=True)
class Result:
    """Seconds of one run: for the questions, for scoring them, for all before and between."""

    questions: int
    start: float
    answering: float
    scoring: float

    @property
    def ms_per_question(self) -> float:
        return 1000 * self.answering / self.questions


def make_data(count: int) -> TaskData:
    """Questions of the shipped NQ sample, repeated under new ids."""
    data = load_task(Task.from_folder(task_folder("nq")))
    real = data.questions
    many = tuple(replace(real[n % len(real)], id=f"b{n:05d}") for n in range(count))
    return replace(data, questions=many, questions_fingerprint=questions_fingerprint(many))


def run(method: Method, data: TaskData, root: Path) -> Result:
    """Execute one run; its answering seconds are those the run itself recorded."""
    name = type(method).__name__.lower()
    config = RunConfig(
        task=TaskConfig(
            name=data.name,
            split=data.split,
            questions=len(data.questions),
            questions_fingerprint=data.questions_fingerprint,
            corpus_fingerprint=data.corpus_fingerprint,
        ),
        method=MethodConfig(name=name),
        model=ModelSettings(name="rules"),
        retriever={"name": "fixed"},
    )
    plan = RunPlan(config, method, ModelConfig(name="rules", path="rules"), data, Measuring(0, 0))
    model = RuleModel(lambda _: "an answer")
    start = perf_counter()
    console = Console(file=io.StringIO())
    folder = execute(plan, root, model, FixedRetriever(data.corpus), console)
    total = perf_counter() - start
    throughput = read_performance(folder).throughput
    answering = throughput.seconds if throughput else 0.0
    start = perf_counter()
    score_run(folder)  # once more, alone
    scoring = perf_counter() - start
    return Result(len(data.questions), total - answering - scoring, answering, scoring)


def help_seconds() -> float:
    """Wall time of ``memory-harness --help``, best of three."""
    command = [Path(sys.executable).with_name("memory-harness"), "--help"]
    times = []
    for _ in range(3):
        start = perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(perf_counter() - start)
    return min(times)


def main() -> None:
    data = make_data(QUESTIONS)
    for method in (load_method("no-retrieval")(), load_method("bm25")(), Branching()):
        with tempfile.TemporaryDirectory() as root:
            result = run(method, data, Path(root))
        print(
            f"{type(method).__name__:12} {result.ms_per_question:.2f} ms a question, "
            f"{result.start:.2f} s of start and finish, {result.scoring:.2f} s of scoring"
        )
    print(f"{'--help':12} {help_seconds():.2f} s")


if __name__ == "__main__":
    main()
