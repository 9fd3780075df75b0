"""Channels: requests of one kind that wait for the next batch, and what a backend makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from harness.records import Passage
from harness.retrieval.base import Retriever

Batch = Sequence[tuple[Any, asyncio.Future[Any]]]
Request = TypeVar("Request")
Result = TypeVar("Result")

NO_RESULT = "the backend returned no result for this request"


@dataclass(slots=True)
class Channel(Generic[Request, Result]):
    """Requests of one kind waiting for the next batch."""

    call: Callable[[Sequence[Request]], Iterator[tuple[int, Result]]]
    pending: list[tuple[Request, asyncio.Future[Result]]] = field(default_factory=list)
    batches: int = 0
    requests: int = 0

    def results(self, batch: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        """Call the backend; being a generator turns its stray StopIteration into an error."""
        yield from self.call(batch)

    def single(self, request: Request) -> Result:
        """The result of one request, alone. Raises RuntimeError if the backend returns none."""
        for _, result in self.results([request]):
            return result
        raise RuntimeError(NO_RESULT)

    def take(self) -> list[tuple[Request, asyncio.Future[Result]]]:
        """What waits and is still wanted; nothing waits then."""
        batch = [entry for entry in self.pending if not entry[1].done()]
        self.pending = []
        return batch


def fail(batch: Batch, error: Exception) -> None:
    """Tell everybody who still waits for a batch's results that there is none."""
    for _, future in batch:
        if not future.done():
            future.set_exception(error)


def search(
    retriever: Retriever | None, batch: Sequence[tuple[str, int]]
) -> Iterator[tuple[int, list[Passage]]]:
    """Results of searches, each a text and the number of passages, one call for each number."""
    assert retriever is not None  # its client lets no search through without one
    for k in sorted({k for _, k in batch}):
        indices = [i for i, (_, wanted) in enumerate(batch) if wanted == k]
        yield from zip(indices, retriever.search([batch[i][0] for i in indices], k), strict=True)
