"""Prefix of a run's prompts: what reading it once takes, and what questions wait without that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile
from time import perf_counter
from typing import Any

from harness.engine import Answered, Engine
from harness.llm.base import LanguageModel
from harness.llm.keyvalues import KeyValues
from harness.llm.local import LocalModel
from harness.method import Method
from harness.records import Query

ANEW = 3
"""Questions that read the text of their prefix themselves, at most."""
ENOUGH = 20.0
"""Seconds after which no further one does: each takes as long as reading a prefix, and where that
is long it varies little."""
_KINDS = ("generate", "score", "next_token_probs")


def measure_prefix(
    engine: Engine,
    method: Method,
    queries: Sequence[Query],
    on_answer: Callable[[Answered], None] = lambda _: None,
) -> dict[str, Any]:
    """The prefix record of a method whose prompts have one; ``engine`` is warm, of window 1.

    The queries, whose prompts have a prefix, are answered with their whole prompts read, until
    that took ENOUGH, trained positions left where they are; then the largest prefix among theirs
    is read once more by itself.
    """
    asked = {kind: _Anew(engine.llm, kind) for kind in _KINDS}
    before = {kind: engine.channels[kind].call for kind in _KINDS}
    seconds: list[float | None] = []

    def keep(answered: Answered) -> None:
        first = answered.first_token
        seconds.append(None if first is None else round(first, 6))
        on_answer(answered)

    for kind in _KINDS:
        engine.channels[kind].call = asked[kind]
    start = perf_counter()
    some = takewhile(lambda _: not seconds or perf_counter() - start < ENOUGH, queries)
    try:
        engine.run(method, some, keep)
    finally:
        for kind in _KINDS:
            engine.channels[kind].call = before[kind]
    found = [each.largest for each in asked.values() if each.largest is not None]
    largest = max(found, key=lambda prefix: prefix.length)
    record: dict[str, Any] = {"positions": largest.length, "bytes": largest.nbytes}
    if not largest.ids:
        return record
    return {**record, "seconds": _reading(engine, largest), "first_token": seconds}


class _Anew:
    """Calls of one kind whose prompts are read whole; keeps the largest prefix that they had."""

    def __init__(self, llm: LanguageModel, kind: str) -> None:
        self._call: Callable[[Sequence[Any]], Iterator[tuple[int, Any]]] = getattr(llm, kind)
        self.largest: KeyValues | None = None

    def __call__(self, requests: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        yield from self._call([self._whole(request) for request in requests])

    def _whole(self, request: Any) -> Any:
        prefix: KeyValues | None = request.prefix
        if prefix is None:
            return request
        if self.largest is None or prefix.length > self.largest.length:
            self.largest = prefix
        return replace(request, prefix=prefix.without_text())


def _reading(engine: Engine, prefix: KeyValues) -> float:
    assert isinstance(engine.llm, LocalModel)  # no other takes a prefix
    engine.settle()
    start = perf_counter()
    engine.llm.read_again(prefix)
    engine.settle()
    return round(perf_counter() - start, 6)
