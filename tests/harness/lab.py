"""A small task in files, methods and a model that need no download, and a run made of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.data.card import custom_task
from harness.data.corpus import Corpus
from harness.data.task import load_task
from harness.errors import UnansweredError
from harness.llm.catalogue import resolve_model
from harness.llm.requests import GenerateRequest, Reply
from harness.meters import hardware
from harness.method import Method, MethodCard
from harness.records import Prediction, Query, Question, StorageReport
from harness.runs import provenance
from harness.runs.manifest import RunConfig
from harness.runs.measuring import Measuring
from harness.runs.plan import RunPlan
from harness.testing.models import RuleModel, pick_words

Change = Callable[[GenerateRequest], None]
GONE = "503 after 5 retries"


class CountingModel(RuleModel):
    """Counts calls, sleeps once a batch, and lets a test interfere with each request."""

    def __init__(self, interfere: Change = lambda _: None, seconds: float = 0.0) -> None:
        super().__init__(self._rule)
        self.interfere, self.seconds, self.calls = interfere, seconds, 0

    def _rule(self, request: GenerateRequest) -> str:
        self.calls += 1
        self.interfere(request)
        return pick_words(request)

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        time.sleep(self.seconds)
        for index, request in enumerate(requests):
            yield index, Reply(self._rule(request), len(str(request.prompt).split()), 3)

    def provenance(self) -> dict[str, Any]:
        return {"device": "cpu"}


class FailingServer(CountingModel):
    """Fails, after five retries, for prompts that hold one of some texts: ``times`` for each."""

    concurrency = 4

    def __init__(self, *texts: str, times: int = 1000) -> None:
        super().__init__(self._fail)
        self.left = dict.fromkeys(texts, times)
        self.asked: list[str] = []

    def _fail(self, request: GenerateRequest) -> None:
        self.asked.append(str(request.prompt))
        for text, left in self.left.items():
            if text in str(request.prompt) and left:
                self.left[text] -= 1
                self.retries += 5
                raise UnansweredError(GONE)


class Ask(Method):
    """Two calls a question, the second depending on the first."""

    card = MethodCard("Ask", "Asks twice.")

    async def answer(self, query: Query) -> Prediction:
        first = await self.llm.generate(self.prompts.closed_book(query))
        second = await self.llm.generate(f"{query.text} {first.text}")
        return Prediction(second.first_line)


class Remember(Ask):
    """Keeps the first word of every passage; fails to answer if it was not loaded."""

    card = MethodCard("Remember", "Keeps first words.")
    words: dict[str, str]
    writes = 0

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        type(self).writes += 1
        words = {passage.id: passage.title for passage in corpus}
        (folder / "words.json").write_text(json.dumps(words))

    def load(self, folder: Path) -> None:
        self.words = json.loads((folder / "words.json").read_text())

    def storage(self) -> StorageReport:
        return StorageReport({"memory vectors": sum(map(len, self.words.values()))}, 10)

    async def answer(self, query: Query) -> Prediction:
        reply = await self.llm.generate(f"{self.words[query.id.replace('q', 'd')]} {query.text}")
        return Prediction(reply.first_line)


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_task(folder: Path, questions: int = 24) -> Path:
    """questions.jsonl, corpus.jsonl and train.jsonl; question q7's gold is passage d7."""
    people = [f"Person {i}\nNumber {i} is called name{i}." for i in range(questions + 6)]
    corpus = [{"id": f"d{i}", "contents": text} for i, text in enumerate(people)]
    rows = [
        {
            "id": f"q{i}",
            "question": f"How is number {i} called?",
            "golden_answers": [f"name{i}"],
            "metadata": {"gold_doc_ids": [f"d{i}"]},
        }
        for i in range(questions + 6)
    ]
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "questions.jsonl", rows[:questions])
    write_lines(folder / "train.jsonl", rows[questions:])
    return folder


def make_plan(
    files: Path, method: Method | None = None, *, queries: int = 0, seed: int = 0, window: int = 4
) -> RunPlan:
    """A plan as a board makes it."""
    method = method or Ask()
    name = type(method).__name__.lower()
    paths = {kind: files / f"{kind}.jsonl" for kind in ("questions", "corpus", "train")}
    data = load_task(custom_task("toy"), **paths)
    task = {
        "name": "toy",
        "split": "custom",
        "questions": len(data.questions),
        "passages": len(data.corpus),
        "questions_fingerprint": data.questions_fingerprint,
        "corpus_fingerprint": data.corpus_fingerprint,
    }
    config = RunConfig(
        task=task,
        method={"name": name, "params": method.params.model_dump()},
        model={"name": "rules"},
        seed=seed,
    )
    model = resolve_model("smollm2-135m-instruct")
    return RunPlan(config, method, model, data, Measuring(queries, 1, passes=1), window)


def quiet() -> Console:
    """A console that shows nothing."""
    return Console(file=StringIO())


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest without the seconds that importing torch and calling git take."""
    monkeypatch.setattr(provenance, "git_commit", lambda: None)
    monkeypatch.setattr(hardware, "torch_threads", lambda: 1)
    monkeypatch.setattr(hardware, "_gpu_names", tuple)
    monkeypatch.setattr(hardware, "set_torch_threads", lambda: None)
