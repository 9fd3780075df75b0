"""Opening of a method: an engine over model, retriever and corpus, and what it lends the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.data.demonstrations import qa_prompts
from harness.engine import Engine
from harness.llm.base import LanguageModel
from harness.method import Method
from harness.progress import CallbackBar
from harness.retrieval.base import Retriever
from harness.runs.performance import ColdStart, Index

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.corpus import Corpus
    from harness.data.task import TaskData


@dataclass(frozen=True, slots=True)
class Opened:
    """What it took to open what a run works with; None where it was not noted."""

    model_seconds: float | None = None
    index_seconds: float | None = None
    """Without building."""
    index: Index | None = None
    baseline_bytes: int | None = None
    """In use with the model alone."""

    def cold_start(self, memory_seconds: float | None) -> ColdStart | None:
        """What starting again takes; None if the model's part is not known."""
        if self.model_seconds is None:
            return None
        parts = {"index": self.index_seconds, "memory": memory_seconds}
        known = {name: seconds for name, seconds in parts.items() if seconds is not None}
        return ColdStart(model=self.model_seconds, **known)


NOT_NOTED = Opened()


def open_index(method: Method, corpus: Corpus, task: str, console: Console) -> Retriever | None:
    """The method's retriever over a corpus, with progress; None if it retrieves nothing."""
    from harness.retrieval.open import open_retriever

    name = method.retriever_name
    if name is None:
        return None
    with CallbackBar(console, f"{task}: {name} index") as progress:
        settings = method.retriever_settings
        return open_retriever(name, corpus, settings=settings, progress=progress)


def open_method(
    method: Method,
    data: TaskData,
    seed: int,
    llm: LanguageModel,
    retriever: Retriever | None,
    window: int,
) -> Engine:
    """The engine that asks ``window`` questions at once; the method is opened with what it lends.

    Gold of ``data`` reaches a method whose card says ``oracle``, and no other.
    """
    engine = Engine(llm, retriever, data.corpus, window=window)
    gold = {q.id: q for q in data.questions} if method.card.oracle else {}
    prompts = qa_prompts(data, method.params.shots, seed)
    task = data.card if method.reads_task else None
    method.open(engine.lend(prompts=prompts, seed=seed, gold=gold, task=task))
    return engine
