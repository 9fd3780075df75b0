"""Channels: what waits, what is still wanted, searches that ask for different numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from harness.calls.channels import Channel, fail, search
from harness.records import Passage
from harness.retrieval.base import Retriever


class Numbered(Retriever):
    """Finds passages that are numbered from one on; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], int]] = []

    def search(self, texts: Sequence[str], k: int) -> list[list[Passage]]:
        self.asked.append((tuple(texts), k))
        return [[Passage(f"{text}{n}", "", "") for n in range(1, k + 1)] for text in texts]

    def storage(self) -> dict[str, int]:
        return {}


def test_searches_of_one_number_share_a_call_and_each_gets_its_own_passages() -> None:
    retriever = Numbered()
    found = dict(search(retriever, [("a", 2), ("b", 1), ("c", 2)]))
    assert retriever.asked == [(("b",), 1), (("a", "c"), 2)]
    assert {i: [p.id for p in each] for i, each in found.items()} == {
        0: ["a1", "a2"], 1: ["b1"], 2: ["c1", "c2"],
    }  # fmt: skip


def upper(batch: Sequence[str]) -> Iterator[tuple[int, str]]:
    yield from ((n, text.upper()) for n, text in enumerate(batch) if text)


def test_one_request_alone_has_its_result_or_an_error() -> None:
    channel = Channel(upper)
    assert channel.single("a") == "A"
    with pytest.raises(RuntimeError, match="the backend returned no result for this request"):
        channel.single("")


def test_what_nobody_waits_for_is_not_asked_and_a_failure_reaches_who_does() -> None:
    async def waiting() -> list[asyncio.Future[str]]:
        futures = [asyncio.get_running_loop().create_future() for _ in range(3)]
        channel: Channel[str, str] = Channel(upper, list(zip("abc", futures, strict=True)))
        futures[1].cancel()
        batch = channel.take()
        assert ([request for request, _ in batch], channel.pending) == (["a", "c"], [])
        futures[0].set_result("A")
        fail(batch, ValueError("broken"))
        return futures

    first, second, third = asyncio.run(waiting())
    assert (first.result(), second.cancelled()) == ("A", True)
    assert str(third.exception()) == "broken"
