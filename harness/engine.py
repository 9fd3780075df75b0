"""The engine: many ``Method.answer`` coroutines at once, what they ask for in batches.

A batch goes out when no coroutine can go on without it. Which requests share a batch never changes
an answer; it only changes how fast it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from harness import trace
from harness.calls.channels import NO_RESULT, Batch, Channel, fail, search
from harness.clients import LLMClient, RetrieverClient
from harness.data.card import TaskCard
from harness.data.corpus import Corpus
from harness.errors import CapabilityError, ConfigError, MachineError, describe_error
from harness.llm.base import LanguageModel
from harness.method import Lent, Method
from harness.progress import interruptible
from harness.prompts import QAPrompts
from harness.records import Prediction, Query, Question
from harness.retrieval.base import Retriever

# A coroutine woken through nested gathers needs a few turns of the loop before it asks again.
QUIET_TURNS = 8
RECORD_TURNS = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """A finished prediction and how long it took from start to end, in seconds."""

    question_id: str
    prediction: Prediction
    seconds: float
    seconds_by_kind: dict[str, float]
    first_token: float | None = None
    """Seconds from the start until the first token of the last reply was there, where known."""
    unanswered: str | None = None
    """Why the question has no answer that is the method's own: its server failed."""


class Engine:
    """One model and one retriever; a method answers queries with them, ``window`` at a time.

    ``window`` bounds memory and says how many questions may share a batch; it changes no answer.
    """

    def __init__(
        self,
        llm: LanguageModel,
        retriever: Retriever | None = None,
        corpus: Corpus | None = None,
        *,
        window: int = 128,
    ) -> None:
        if window < 1:
            raise ConfigError(f"window = {window}: must be at least 1")
        self.llm, self.window = llm, window
        self.settle: Callable[[], None] = lambda: None
        """Waits for work that a device has taken on, before a question's clock starts or stops."""
        self._retriever, self._corpus = retriever, corpus
        self.channels: dict[str, Channel[Any, Any]] = {
            "search": Channel(lambda batch: search(retriever, batch)),
            "next_token_probs": Channel(llm.next_token_probs),
            "score": Channel(llm.score),
            "generate": Channel(llm.generate),
        }
        self._submitted = 0
        self._arrived = asyncio.Event()
        self._pool: ThreadPoolExecutor | None = None

    def lend(
        self,
        *,
        prompts: QAPrompts | None = None,
        seed: int = 0,
        gold: Mapping[str, Question] | None = None,
        task: TaskCard | None = None,
        scratch: Path | None = None,
    ) -> Lent:
        """What a method is opened with: the model and the retriever, called through this engine."""
        return Lent(
            LLMClient(self.llm, self.submit, seed),
            RetrieverClient(self._retriever, self._corpus, self.submit),
            prompts or QAPrompts(),
            seed,
            gold or {},
            task,
            scratch,
        )

    def run(
        self, method: Method, queries: Iterable[Query], on_answer: Callable[[Answered], None]
    ) -> None:
        """Have an opened method answer every query; hand each result over once it is there.

        An exception raised by ``on_answer`` stops the run and is raised here. So does a
        MachineError: what the machine lacks is no answer of the method's.
        """
        left = iter(queries)
        _complete(self._do([self._work(method, left, on_answer) for _ in range(self.window)]))

    def complete(self, work: Coroutine[Any, Any, None]) -> None:
        """Do other work than answering, such as a ``write``, whose calls share batches."""
        _complete(self._do([work]))

    async def submit(self, kind: str, request: Any) -> Any:
        """Queue one request and wait for its result."""
        channel = self.channels[kind]
        channel.requests += 1
        if self._pool is not None and kind != "search":
            channel.batches += 1
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, channel.single, request)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        channel.pending.append((request, future))
        self._submitted += 1
        self._arrived.set()
        return await future

    async def _do(self, works: Iterable[Coroutine[Any, Any, None]]) -> None:
        interruptible()
        asyncio.get_running_loop().set_task_factory(trace.start_task)
        self._arrived = asyncio.Event()
        for channel in self.channels.values():
            channel.pending = []  # an earlier run may have been stopped
        self._pool = ThreadPoolExecutor(self.llm.concurrency) if self.llm.concurrency else None
        pump = asyncio.create_task(self._pump())
        workers = [asyncio.create_task(work) for work in works]
        work = asyncio.gather(*workers)
        try:
            ends: set[asyncio.Future[Any]] = {pump, work}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()  # the pump ends only by an error, and nobody would answer then
            await work
        finally:
            for task in (pump, *workers):
                task.cancel()
            await asyncio.gather(pump, work, *workers, return_exceptions=True)
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    async def _work(
        self, method: Method, queries: Iterator[Query], on_answer: Callable[[Answered], None]
    ) -> None:
        for query in queries:
            on_answer(await self.answer(method, query))

    async def answer(self, method: Method, query: Query) -> Answered:
        """One query's answer, with its trace, inside of other work."""
        recorder = trace.begin(query.id)
        self.settle()
        start = perf_counter()
        try:
            prediction, error = _checked(await method.answer(query)), None
            self.settle()
        except CapabilityError:
            raise
        except Exception as exception:
            recorder.note_failure(exception)
            prediction, error = recorder.retrieval, describe_error(exception)
        finally:
            recorder.close()
            self.llm.release(query.id)
        if recorder.machine is not None:
            raise MachineError(f"question {query.id!r}: {recorder.machine}")
        seconds = perf_counter() - start
        if recorder.unanswered is not None:
            why = describe_error(recorder.unanswered)
            by_kind = dict(recorder.seconds)
            return Answered(query.id, Prediction(""), seconds, by_kind, unanswered=why)
        raw = prediction.raw if prediction.raw is not None else recorder.last_reply
        full = replace(
            _as_read(prediction, recorder.unread),
            raw=raw or "",
            steps=recorder.steps,
            usage=recorder.usage,
            error=error,
        )
        written = recorder.first_token
        first_token = None if written is None else written - start
        return Answered(query.id, full, seconds, dict(recorder.seconds), first_token)

    async def _pump(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while any(channel.pending for channel in self.channels.values()):
                await self._until_quiet()
                await self._send()

    async def _until_quiet(self) -> None:
        quiet, seen = 0, self._submitted
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            quiet = quiet + 1 if self._submitted == seen else 0
            seen = self._submitted

    async def _send(self) -> None:
        # Searches first: they are cheap, and what they bring makes the model's batch larger.
        channel = next(channel for channel in self.channels.values() if channel.pending)
        if batch := channel.take():  # empty: all were left behind by questions that ended early
            await self._deliver(channel, batch)

    async def _deliver(self, channel: Channel[Any, Any], batch: Batch) -> None:
        channel.batches += 1
        try:
            for index, result in channel.results([request for request, _ in batch]):
                if not batch[index][1].done():
                    batch[index][1].set_result(result)
                for _ in range(RECORD_TURNS):
                    await asyncio.sleep(0)
            fail(batch, RuntimeError(NO_RESULT))
        except Exception as error:
            if len(batch) == 1 or isinstance(error, CapabilityError):
                fail(batch, error)
                return
            # One request may be at fault; alone, it cannot take the others with it.
            for entry in batch:
                if not entry[1].done():
                    await self._deliver(channel, [entry])


def _as_read(prediction: Prediction, unread: set[str]) -> Prediction:
    """The prediction without, among what was read, what no prompt had room for."""
    if unread.isdisjoint(prediction.read_ids):
        return prediction
    return replace(prediction, read=[id_ for id_ in prediction.read_ids if id_ not in unread])


def _checked(prediction: Prediction) -> Prediction:
    if not isinstance(prediction, Prediction) or not isinstance(prediction.answer, str):
        raise TypeError(f"answer() must return a Prediction with a text, got {prediction!r:.80}")
    return prediction


def _complete(work: Coroutine[Any, Any, None]) -> None:
    """Do the work; where a notebook has a loop, in a thread that an interrupt here stops."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    stops: list[Callable[[], object]] = []

    async def working() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.create_task(work)
        stops.append(lambda: loop.call_soon_threadsafe(task.cancel))
        await task

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asyncio.run, working())
        try:
            return done.result()
        except KeyboardInterrupt:
            with suppress(RuntimeError, IndexError):  # its loop may be closed, or not yet there
                stops[0]()
            raise
