"""Compiled search of postings, by numba: imported where a corpus is large enough to gain by it."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_BLOCK = 2**15
"""Passages whose scores are summed at once; their 256 KB stay in a core's cache."""


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def best(
    positions: NDArray[Any],
    weights: NDArray[Any],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    passages: int,
    k: int,
) -> list[tuple[float, np.int64]]:
    """The k best passages as (score, -position), in no order; only scores above zero.

    Of each term of a query, ``starts`` and ``ends`` tell where its postings lie, whose positions
    are in order. The sums are those of ``np.bincount``: float64, term after term.
    """
    found = [(0.0, np.int64(0))]
    found.pop()  # it told numba the type
    floor = 0.0
    scores = np.zeros(min(passages, _BLOCK))
    here, after = starts.copy(), starts.copy()
    for first in range(0, passages, _BLOCK):
        end = min(first + _BLOCK, passages)
        for term in range(len(starts)):
            at = here[term]
            while at < ends[term] and np.int64(positions[at]) < end:
                scores[np.int64(positions[at]) - first] += weights[at]
                at += 1
            after[term] = at
        for term in range(len(starts)):
            for at in range(here[term], after[term]):
                position = np.int64(positions[at])
                score = scores[position - first]
                scores[position - first] = 0.0  # a passage of two terms counts once
                if score <= 0.0 or score < floor:
                    continue
                entry = (score, -position)
                if len(found) < k:
                    heapq.heappush(found, entry)
                elif entry > found[0]:
                    heapq.heapreplace(found, entry)
                if len(found) == k:
                    floor = found[0][0]
            here[term] = after[term]
    return found
