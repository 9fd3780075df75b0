"""The small world in which a method is written, loaded and asked, and watched all the while."""

from __future__ import annotations

import asyncio
import ctypes
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import trace
from harness.boards.needs import check_needs
from harness.boards.shots import fit_shots
from harness.data.corpus import Corpus
from harness.data.demonstrations import qa_prompts
from harness.errors import CapabilityError
from harness.fingerprint import folder_fingerprint
from harness.llm.base import LanguageModel
from harness.method import Method, MethodParams, writes_memory
from harness.records import Passage, Query, Question
from harness.runs.write_phase import write
from harness.testing.models import RuleModel, small_task
from harness.testing.observed import Case, CountingEngine, EndlessError, NoGold, Observed
from harness.testing.outcomes import Outcomes, difference
from harness.testing.places import Code
from harness.testing.vectors import WordVectors
from harness.testing.watch import HungError, Watch

WRITE_PATIENCE = 10
"""How many times longer than a question the writing or loading of a memory may take."""
_CREATED = re.compile(r'File "(?P<file>.+)", line (?P<line>\d+)')


class TooManyCallsError(Exception):
    """A question asks for more calls than are allowed; the message names it."""


class Lab:
    """A small world in which a method is written and asked."""

    def __init__(
        self,
        cls: type[Method],
        values: dict[str, Any],
        model: LanguageModel | None,
        limits: tuple[int, float],
        folder: Path,
    ) -> None:
        self.cls, self.values, self.model, self.folder = cls, values, model, folder
        self.max_calls, seconds = limits
        self.code = Code.of(cls)
        self.watch = Watch(self.code, seconds, folder)
        self.data = small_task()
        self.queries = [question.query for question in self.data.questions]
        self.hard_queries = self.queries[4:]
        """Those that are hard to typeset: enough for each of sixteen odd cases."""
        self.forgotten: list[str] = []
        """Calls that nobody awaited, with their places."""
        self.elsewhere: Callable[[], Mapping[str, Any]] | None = None
        """Gives rows of the plain questions from another process."""
        self.imported = False
        """Whether it was watched while it was imported."""
        self.gold = NoGold(self.code)
        self.weights = ""
        """A hash of the model's weights before anything was written; empty if it shows none."""
        self.as_written = ""
        """The fingerprint of the memory when write() was done."""

    def new(self, train: tuple[Question, ...] | None = None) -> Method:
        """The method, not yet written; with the shots that other train questions allow."""
        params: MethodParams = self.cls.Params(**self.values)
        if train is not None:
            params = fit_shots(params, replace(self.data, train=train))
        return self.cls(params)

    def adapted(self) -> AbstractContextManager[None]:
        """The model with the adapter that the method brings, while the rules are tried."""
        try:
            return (self.model or RuleModel()).adapted(self.new().adapter)
        except CapabilityError as error:
            raise _ask_for_model(error) from error

    @property
    def writes(self) -> bool:
        """Whether the method has a memory of its own."""
        return issubclass(self.cls, Method) and writes_memory(self.cls)

    @cached_property
    def memory(self) -> Path:
        """The folder of the memory that most questions are asked of."""
        folder = self.write("memory")
        self.as_written = folder_fingerprint(folder)
        return folder

    @cached_property
    def plain(self) -> Outcomes:
        """What becomes of the questions where nothing is out of the ordinary."""
        return self.ask(self.loaded(self.memory), Case("plain questions"))

    def write(
        self,
        name: str,
        corpus: Corpus | None = None,
        train: tuple[Question, ...] | None = None,
    ) -> Path:
        """A folder with a memory, written by a method of its own; of other data if given."""
        folder, scratch = self.folder / name, self.folder / f"{name}-scratch"
        for each in (folder, scratch):
            each.mkdir()
        if self.writes:
            self.write_on(folder, scratch, Case("write", train=train), corpus)
        return folder

    def write_on(
        self,
        folder: Path,
        scratch: Path,
        case: Case,
        corpus: Corpus | None = None,
        killed_after: int | None = None,
    ) -> int:
        """Write into a folder, as far as an earlier session got; how many calls were answered.

        KilledError comes in the place of the answer after the first ``killed_after``.
        """
        method, passages = self.new(case.train), corpus or self.data.corpus
        engine = self.engine(method, case, passages)
        engine.killed_after = killed_after
        learnt = self.data.train if case.train is None else case.train
        console = Console(quiet=True)

        def work() -> None:
            write(engine, method, passages, learnt, folder, scratch, console)

        self.watch.run("write", work, WRITE_PATIENCE)
        return engine.replied

    def loaded(self, memory: Path, train: tuple[Question, ...] | None = None) -> Method:
        """Another method that has opened a memory."""
        method = self.new(train)
        self.engine(method, Case("load", train=train))
        if self.writes:
            self.watch.run("load", lambda: method.load(memory), WRITE_PATIENCE)
        return method

    def engine(self, method: Method, case: Case, corpus: Corpus | None = None) -> CountingEngine:
        """An engine over ten passages, with which the method is opened."""
        data, retrieves = self.data, method.retriever_name is not None
        passages = corpus or data.corpus
        try:
            model = self.model or self.able(case.rules or RuleModel())
            check_needs(self.cls.__name__, method, model)
        except CapabilityError as error:
            raise _ask_for_model(error) from error
        retriever = WordVectors(passages, case.most) if retrieves else None
        engine = CountingEngine(model, retriever, passages, window=case.window)
        engine.rules, engine.max_calls, engine.watch = case.rules, self.max_calls, self.watch
        engine.backwards = case.backwards
        shown = data if case.train is None else replace(data, train=case.train)
        prompts = qa_prompts(shown, min(method.params.shots, len(shown.train)), seed=0)
        oracle = getattr(method.card, "oracle", False)
        gold = {q.id: q for q in data.questions} if oracle else self.gold
        task = data.card if method.reads_task else None
        method.open(replace(engine.lend(prompts=prompts, task=task), gold=gold))
        return engine

    def able(self, rules: RuleModel) -> RuleModel:
        """The rules in the role of the checkpoint that the method asks for."""
        rules.tokens = frozenset(self.cls.needs_tokens)
        rules.trained_for = frozenset(filter(None, [self.cls.needs_training_for]))
        return rules

    def ask(self, method: Method, case: Case, queries: Sequence[Query] | None = None) -> Outcomes:
        """What becomes of every question. Raises TooManyCallsError and HungError."""
        engine, asked = self.engine(method, case), queries or self.queries
        observed = Observed(method, case, self.watch)
        observed.params, observed.lent = method.params, method.lent
        self.watch.waiting, self.watch.end_loop = observed.waiting, observed.end_loop

        def work() -> list[str]:
            sys.set_coroutine_origin_tracking_depth(1)
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always", RuntimeWarning)
                with engine.llm.changed(method.changes):
                    engine.run(observed, asked, observed.answered)
            return [str(each.message) for each in told]

        try:
            told = self.watch.run("answer", work)
        except (EndlessError, HungError) as error:
            if engine.excess is None:
                raise
            raise TooManyCallsError(f"{case.name}, question {engine.excess}") from error
        self.forgotten += [text for text in map(_never_awaited, told) if text]
        return observed.outcomes

    def difference(self, outcomes: Outcomes) -> str | None:
        """How answers differ from those to the plain questions; None if they do not."""
        # Another model may round differently in another batch; the rules do not.
        return difference(self.plain, outcomes, self.code, exact=self.model is None)

    def requests(self, method: Method, case: Case) -> list[tuple[str, Any]]:
        """Everything that is asked of the model and the retriever, each with its kind."""
        engine = self.engine(method, case)
        engine.kept = []
        with engine.llm.changed(method.changes):
            self.watch.run("answer", lambda: engine.run(method, self.queries, lambda _: None))
        return engine.kept

    def cancelled(self, method: Method) -> bool:
        """Whether an answer that waits for the model ends when it is cancelled."""
        engine = self.engine(method, Case("a run that is stopped"))
        engine.silent = True
        return self.watch.run("answer", lambda: _cancel(method, self.queries[0]))


def other_corpus(corpus: Corpus) -> Corpus:
    """The same ids and titles over other texts."""
    return Corpus.from_passages(
        Passage(p.id, p.title, " ".join(reversed(p.text.split()))) for p in corpus
    )


def _cancel(method: Method, query: Query) -> bool:
    """Ask, wait until nothing goes on without the model, cancel; whether that ended the answer."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(trace.start_task)
    # What a method that goes on leaves behind is no news of this program's.
    loop.set_exception_handler(lambda *_: None)

    async def cancel() -> bool:
        trace.begin(query.id)
        answer = method.answer(query)
        task = asyncio.ensure_future(answer)
        for _ in range(100):
            await asyncio.sleep(0)
        if task.done():
            return True
        task.cancel()
        await asyncio.wait([task], timeout=1)
        if not task.done():
            # Even its removal it may refuse to end for, and go on for ever then: it is kept.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(answer))
        return task.cancelled()

    try:
        return loop.run_until_complete(cancel())
    finally:
        loop.close()


def _never_awaited(message: str) -> str | None:
    """A warning about a call that nobody awaited, in one line; None for another warning."""
    if "was never awaited" not in message:
        return None
    created = list(_CREATED.finditer(message))
    place = f" ({created[-1]['file']}:{created[-1]['line']})" if created else ""
    return message.partition("\n")[0].removeprefix("coroutine ") + place


def _ask_for_model(error: CapabilityError) -> CapabilityError:
    return CapabilityError(
        f"{error}; give one to check_method(…, model=…), or to the command with --model NAME"
    )
