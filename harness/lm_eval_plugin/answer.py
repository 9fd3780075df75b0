"""Answer of a method as lm-eval carries it: a text that brings its whole prediction along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.llm.text import cut_at_stop


class Answer(str):
    """A method's answer to one question, and what its scores are made of.

    lm-eval knows texts alone, and hands on any kind of them. A filter that makes another text of it
    drops the rest: EM and F1 are still there then, retrieval and latency are not. So does a cache
    with the seconds, which were those of another session.
    """

    row: Mapping[str, Any]
    """The prediction as a run stores it (``harness.runs.predictions``)."""
    data: str
    """Fingerprint of the corpus and the train questions that its task comes with."""
    retriever: bool
    """Whether its method has a retriever."""
    seconds: float | None
    """How long the question took, alone; None if it shared its time or was not timed."""
    cached: bool
    """Whether another session gave it."""

    def __new__(
        cls,
        text: str,
        row: Mapping[str, Any],
        data: str,
        retriever: bool,
        seconds: float | None = None,
        *,
        cached: bool = False,
    ) -> Answer:
        """The text, and what it carries."""
        self = super().__new__(cls, text)
        self.row, self.data, self.retriever, self.seconds = row, data, retriever, seconds
        self.cached = cached
        return self

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _cached, (str(self), self.row, self.data, self.retriever)


def _cached(text: str, row: Mapping[str, Any], data: str, retriever: bool) -> Answer:
    return Answer(text, row, data, retriever, cached=True)


def cut(text: str, until: str | list[str] | None) -> str:
    """A text up to the first of some stops, as lm-eval's own models cut theirs."""
    stops = [until] if isinstance(until, str) else until or []
    return cut_at_stop(text, stops)
