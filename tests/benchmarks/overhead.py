"""What the harness itself costs: 3,610 questions through models that take no time.

Run as ``python -m tests.benchmarks.overhead``. The whole path is timed: engine, durable
predictions, manifest, scoring. Real questions of the shipped tasks are asked; only the model and
the retriever are stand-ins. The floor asks the model the same, writes the same rows as JSON and
scores their answers, in a loop. How little that is beside a real model, throughput.py measures.
"""

from __future__ import annotations

import asyncio
import io
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from time import perf_counter

from rich.console import Console

from harness.boards.method_entry import load_method
from harness.data.card import Task
from harness.data.corpus import Corpus
from harness.data.questions import questions_fingerprint
from harness.data.task import TaskData, load_task
from harness.llm.model_config import ModelConfig
from harness.llm.requests import GenerateRequest
from harness.method import Method, MethodCard
from harness.metrics import exact_match, token_f1
from harness.records import Passage, Prediction, Query
from harness.registry import task_folder
from harness.retrieval.base import Retriever
from harness.runs.execute import execute
from harness.runs.manifest import MethodConfig, ModelSettings, RunConfig, TaskConfig
from harness.runs.measuring import Measuring
from harness.runs.performance import read_performance
from harness.runs.plan import RunPlan
from harness.runs.stamp import PREDICTIONS
from harness.testing.models import RuleModel
from tests.benchmarks.figures import Figure, divided, report, take_turns

QUESTIONS, ROUNDS, HELP_SECONDS = 3610, 2, 0.3
HELP = [str(Path(sys.executable).with_name("memory-harness")), "--help"]


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
    """A run's folder, and the seconds in which it answered its questions."""

    folder: Path
    questions: int
    answering: float

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
    console = Console(file=io.StringIO())
    folder = execute(plan, root, model, FixedRetriever(data.corpus), console)
    throughput = read_performance(folder).throughput
    return Result(folder, len(data.questions), throughput.seconds if throughput else 0.0)


def bare(folder: Path, data: TaskData) -> None:
    """A run's calls, rows and scores of answers, with nothing around them."""
    model = RuleModel(lambda _: "an answer")
    lines = (folder / PREDICTIONS).read_bytes().split(b"\n")
    with tempfile.TemporaryFile("w") as file:
        for line, question in zip(lines, data.questions, strict=False):
            row = json.loads(line)
            for step in row["steps"]:
                if step["kind"] == "generate":
                    list(model.generate([GenerateRequest(step["prompt"], 32)]))
            json.dump(row, file)
            exact_match(row["answer"], question.golden_answers)
            token_f1(row["answer"], question.golden_answers)


def help_seconds() -> float:
    """Wall time of ``memory-harness --help``, best of three."""
    sides = {"help": partial(subprocess.run, HELP, check=True, capture_output=True)}
    return min(take_turns(sides, 3, perf_counter)["help"])


def _of_children() -> float:
    """Seconds of a processor that ended child processes took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(method: Method, data: TaskData) -> Figure:
    """A whole run against the floor."""
    with tempfile.TemporaryDirectory() as scratch:

        def whole() -> Path:
            return run(method, data, Path(tempfile.mkdtemp(dir=scratch))).folder

        folder = whole()
        seconds = take_turns({"whole": whole, "bare": lambda: bare(folder, data)}, ROUNDS)
    each = 1000 * median(seconds["whole"]) / len(data.questions)
    return Figure(
        f"{type(method).__name__}, time of {len(data.questions):,} questions",
        "the same calls, rows and scores in a loop",
        divided(seconds["whole"], seconds["bare"]),
        detail=f"{each:.2f} ms of a processor a question",
    )


def compare_help() -> Figure:
    """``--help`` against a Python that imports what any command line of Typer's does."""
    commands = {"help": HELP, "floor": [sys.executable, "-c", "import typer"]}
    sides = {
        name: partial(subprocess.run, command, check=True, capture_output=True)
        for name, command in commands.items()
    }
    seconds = take_turns(sides, 5, _of_children)
    return Figure(
        "memory-harness --help, time",
        "import typer",
        divided(seconds["help"], seconds["floor"]),
        target=HELP_SECONDS / median(seconds["floor"]),
        detail=f"{median(seconds['help']):.2f} s of a processor; target: {HELP_SECONDS} s",
    )


def main() -> None:
    """Measure and report."""
    data = make_data(QUESTIONS)
    methods = (load_method("no-retrieval")(), load_method("bm25")(), Branching())
    report(chain((compare(method, data) for method in methods), [compare_help()]))


if __name__ == "__main__":
    main()
