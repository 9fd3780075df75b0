"""Requests of a batch that ask the same, answered once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.llm.weights import digest

Request = GenerateRequest | ScoreRequest | NextTokenRequest
R = TypeVar("R", bound=Request)
Result = TypeVar("Result")


def once(
    requests: Sequence[R], work: Callable[[Sequence[R]], Iterator[tuple[int, Result]]]
) -> Iterator[tuple[int, Result]]:
    """What ``work`` gives for requests, of which it sees one of each that are the same."""
    alike: dict[Hashable, list[int]] = {}
    for index, request in enumerate(requests):
        alike.setdefault(_asked(request), []).append(index)
    groups = list(alike.values())
    for place, result in work([requests[first] for first, *_ in groups]):
        yield from ((index, result) for index in groups[place])


def _asked(request: Request) -> Hashable:
    """The request with what its comparison leaves out: vectors by their bytes, its prefix."""
    soft = request.soft_prompts if isinstance(request, GenerateRequest) else ()
    return request, tuple(digest(each) for each in soft), id(request.prefix)
