"""Methods, models and helpers to try the engine with."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.boards.needs import check_needs
from harness.engine import Answered, Engine
from harness.llm.base import LanguageModel
from harness.llm.requests import GenerateRequest, Reply
from harness.method import Method, MethodCard
from harness.records import Prediction, Query
from harness.runs.write_phase import write
from harness.testing.models import RuleModel, WordRetriever, small_task

DATA = small_task()
MEMORIES = tempfile.TemporaryDirectory(prefix="memories-")


def queries(count: int) -> list[Query]:
    texts = [question.text for question in DATA.questions]
    return [Query(f"q{n:04d}", f"{texts[n % len(texts)]} {n}") for n in range(count)]


def answer_all(
    method: Method, asked: Sequence[Query], model: LanguageModel | None = None, **options
) -> dict[str, Answered]:
    """Run an engine over the small world; predictions by question id."""
    opened = make_engine(method, model, **options)
    found: list[Answered] = []
    opened.run(asked, found.append)
    return {answered.question_id: answered for answered in found}


@dataclass
class Opened:
    """A method, opened with what an engine lends it."""

    engine: Engine
    method: Method

    @property
    def channels(self):
        return self.engine.channels

    def run(self, asked: Sequence[Query], keep: Callable[[Answered], None]) -> None:
        self.engine.run(self.method, asked, keep)


def open_with(
    method: Method, model: LanguageModel, retriever=None, corpus=None, *, window=128, **lent
) -> Opened:
    check_needs(type(method).__name__, method, model)
    engine = Engine(model, retriever, corpus, window=window)
    method.open(engine.lend(**lent))
    return Opened(engine, method)


def remember(method: Method, corpus, train=(), folder: Path | None = None) -> Path:
    """Write an opened method's memory, have it loaded, and give its folder."""
    folder, lent = folder or _new_folder(), method.lent
    _write(method, corpus, train, folder)
    method.open(lent)
    method.load(folder)
    return folder


def in_write(method: Method, corpus, work: Callable[[], Awaitable[Any]]) -> Any:
    """What ``work`` returns inside of an opened method's awaited write."""
    made: list[Any] = []

    class Works(type(method)):
        async def write(self, corpus, train, folder):
            made.append(await work())

    lent, method.__class__, plain = method.lent, Works, type(method)
    try:
        _write(method, corpus, (), _new_folder())
    finally:
        method.__class__ = plain
        method.open(lent)
    return made[0]


def _write(method: Method, corpus, train, folder: Path) -> None:
    lent = method.lent
    engine = Engine(method.llm.model, method.retriever.backend, corpus)
    method.open(engine.lend(prompts=lent.prompts, seed=lent.seed, task=lent.task))
    scratch = lent.scratch or _new_folder()
    write(engine, method, corpus, train, folder, scratch, Console(quiet=True))


def _new_folder() -> Path:
    return Path(tempfile.mkdtemp(dir=MEMORIES.name))


def make_engine(method: Method, model: LanguageModel | None = None, **options) -> Opened:
    """A method opened in the small world."""
    retriever = WordRetriever(DATA.corpus)
    return open_with(method, model or RuleModel(), retriever, DATA.corpus, **options)


def predictions(*arguments, **options) -> dict[str, Prediction]:
    return {key: a.prediction for key, a in answer_all(*arguments, **options).items()}


class Shuffled(RuleModel):
    """Results in any order; with concurrency, after random delays."""

    def __init__(self, concurrency: int = 0, seed: int = 0) -> None:
        super().__init__()
        self.concurrency, self.random, self.sizes = concurrency, random.Random(seed), []

    def generate(self, requests: Sequence[GenerateRequest]):
        self.sizes.append(len(requests))
        if self.concurrency:
            time.sleep(self.random.random() * 0.003)
        results: list[tuple[int, Reply]] = list(super().generate(requests))
        self.random.shuffle(results)
        yield from results


class Program(Method):
    """Runs a tree: a number asks the model, a tuple runs its parts in turn, a list at once."""

    card = MethodCard("Program", "A tree of calls.")
    retriever_name = "bm25"

    def __init__(self, tree, params=None) -> None:
        super().__init__(params)
        self.tree = tree

    async def answer(self, query: Query) -> Prediction:
        return Prediction(await self._run(self.tree, query.text))

    async def _run(self, tree, text: str) -> str:
        if isinstance(tree, list):
            return "+".join(await asyncio.gather(*(self._run(part, text) for part in tree)))
        if isinstance(tree, tuple):
            for part in tree:
                text = await self._run(part, text)
            return text
        if tree % 3 == 0:
            found = await self.retriever.search(f"{text} {tree}", k=1 + tree % 4)
            return " ".join(passage.title for passage in found) or "nothing"
        reply = await self.llm.generate(f"{tree} {text}", temperature=1.0)
        return reply.text


class Steps(Method):
    """Calls ``body(self, query)``: a method in one function."""

    card = MethodCard("Steps", "A function.")
    retriever_name = "bm25"

    def __init__(self, body, params=None) -> None:
        super().__init__(params)
        self.body = body

    async def answer(self, query: Query) -> Prediction:
        return await self.body(self, query)


async def ask_once(method, query):
    """The body of a method with one call."""
    reply = await method.llm.generate(query.text)
    return Prediction(reply.first_line)
