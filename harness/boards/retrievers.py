"""Retrievers of a board's runs: one that several runs in a row share is opened once."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from harness.errors import RunFailedError
from harness.retrieval.open import retriever_config
from harness.runs.opening import open_index
from harness.runs.performance import Index

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.task import TaskData
    from harness.method import Method
    from harness.retrieval.base import Retriever
    from harness.runs.plan import RunPlan


@dataclass(frozen=True, slots=True)
class Held:
    """An open retriever, how its index came to be, and the seconds of opening it without that.

    All None for a method that retrieves nothing.
    """

    retriever: Retriever | None = None
    index: Index | None = None
    seconds: float | None = None


class Retrievers:
    """Opens each plan's retriever, and keeps the last one for the next plan."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[Any, Held] | None = None

    def open(self, plan: RunPlan) -> Held:
        """The retriever of a plan's method."""
        name = plan.method.retriever_name
        if name is None:
            self._last = None  # a run without an index must not be charged for one
            return Held()
        key = (plan.config.retriever, plan.data.corpus_fingerprint)
        if self._last is None or self._last[0] != key:
            self._last = None  # frees the old index before the new one is read
            self._last = (key, self._open(name, plan))
        return self._last[1]

    def _open(self, name: str, plan: RunPlan) -> Held:
        if retriever_of(plan.method, plan.data) != plan.config.retriever:
            raise RunFailedError(
                f"retriever '{name}': its files changed since the board was planned; run the board "
                "again"
            )
        start = perf_counter()
        task = plan.config.task.name
        retriever = open_index(plan.method, plan.data.corpus, task, self._console)
        seconds = perf_counter() - start
        built = retriever.built if retriever is not None else None
        if built is None:
            return Held(retriever, None, round(seconds, 3))
        known = {} if built.seconds is None else {"seconds": round(built.seconds, 3)}
        index = Index(cached=built.cached, **known)
        return Held(retriever, index, round(max(0.0, seconds - built.now), 3))


def retriever_of(method: Method, data: TaskData) -> dict[str, Any] | None:
    """What decides the results of the method's retriever over the task's corpus."""
    name = method.retriever_name
    if name is None:
        return None
    ascii_only = data.corpus.is_ascii and all(q.text.isascii() for q in data.questions)
    return retriever_config(name, method.retriever_settings, ascii_only=ascii_only)
