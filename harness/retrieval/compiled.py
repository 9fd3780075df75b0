"""Compiled search of postings, by numba: imported where a corpus is large enough to gain by it."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_BLOCK = 2**13
"""Passages whose scores are summed at once; their 64 KB stay in a core's nearer caches."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def best(
    positions: NDArray[Any],
    weights: NDArray[Any],
    starts: NDArray[np.uint64],
    ends: NDArray[np.uint64],
    passages: int,
    k: int,
) -> list[tuple[float, np.int64]]:
    """The k best passages as (score, -position), in no order; only scores above zero.

    Of each term of a query, ``starts`` and ``ends`` tell where its postings lie, whose positions
    are in order; one that is not, or no passage's, ends its term. The sums are those of
    ``np.bincount``: float64, term after term. Numbers without a sign spare numba what a negative
    index asks for, a third of the time.
    """
    found = [(0.0, np.int64(0))]
    found.pop()  # it told numba the type
    floor = 0.0
    scores = np.zeros(min(passages, _BLOCK))
    here, after = starts.copy(), starts.copy()
    for first in range(np.uint64(0), np.uint64(passages), np.uint64(_BLOCK)):
        width = min(np.uint64(_BLOCK), np.uint64(passages) - first)
        for term in range(len(starts)):
            at = here[term]
            while at < ends[term]:
                place = np.uint64(positions[at]) - first
                if place >= width:
                    break
                scores[place] += weights[at]
                at += np.uint64(1)
            after[term] = at
        for term in range(len(starts)):
            for at in range(here[term], after[term]):
                place = np.uint64(positions[at]) - first
                score = scores[place]
                scores[place] = 0.0  # a passage of two terms counts once
                if score <= 0.0 or score < floor:
                    continue
                entry = (score, -np.int64(positions[at]))
                if len(found) < k:
                    heapq.heappush(found, entry)
                elif entry > found[0]:
                    heapq.heapreplace(found, entry)
                if len(found) == k:
                    floor = found[0][0]
            here[term] = after[term]
    return found
