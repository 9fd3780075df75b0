"""Resamples of questions: random signs and draws with replacement, seeded, in bounded memory.

Streams are PCG64's (``numpy.random.default_rng(seed)``), a resample after the other, so that
nothing depends on how many fit into memory at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 10_000
CHUNK_CELLS = 1_000_000


def checked(values: Any, dimensions: int) -> Floats:
    """Scores as an array. Raises ValueError unless it is finite, not empty and of this shape."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != dimensions or scores.shape[-1] == 0 or not np.isfinite(scores).all():
        raise ValueError(f"need a non-empty {dimensions}-dimensional array of finite scores")
    return scores


def flipped_sums(scores: Floats, resamples: int, seed: int, *, exhaust: bool = True) -> Floats:
    """Sums (m, draws) of ``scores`` (m, n) under signs that the rows share, one a question.

    The first draw is the sample itself. Then come ``resamples`` random ones, the bits of words of
    8 bytes, of which 1 keeps a sign. ``exhaust``: if there are fewer sign vectors, each of them
    once instead, so that a share of them is exact.
    """
    n = scores.shape[1]
    if exhaust and _exhaustible(n, resamples):
        minus = (np.arange(2**n)[:, np.newaxis] >> np.arange(n)) & 1
        exact: Floats = scores @ (1.0 - 2 * minus.T)
        return exact

    totals = scores.sum(axis=1, keepdims=True)

    def flipped(rng: np.random.Generator, rows: int) -> Floats:
        # Whole words, else a draw would depend on where the one before it ended.
        size = 8 * -(-n // 64)
        packed = np.frombuffer(rng.bytes(rows * size), dtype=np.uint8).reshape(rows, size)
        kept = np.unpackbits(packed, axis=1, count=n).astype(np.float64)
        sums: Floats = 2 * (scores @ kept.T) - totals
        return sums

    return np.hstack([totals, _resample(flipped, n, resamples, seed)])


def drawn_sums(scores: Floats, resamples: int, seed: int) -> Floats:
    """Sums (m, resamples) of ``scores`` (m, n) over questions drawn with replacement."""
    n = scores.shape[1]

    def drawn(rng: np.random.Generator, rows: int) -> Floats:
        places = rng.integers(0, n, (rows, n)) + np.arange(rows)[:, np.newaxis] * n
        counts = np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n)
        sums: Floats = scores @ counts.T.astype(np.float64)
        return sums

    return _resample(drawn, n, resamples, seed)


def chunks(length: int, width: int) -> Iterator[slice]:
    """Slices of ``length`` columns, each of at most CHUNK_CELLS cells over ``width`` rows."""
    size = max(1, CHUNK_CELLS // max(1, width))
    return (slice(start, start + size) for start in range(0, length, size))


def _exhaustible(n: int, resamples: int) -> bool:
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    return n < 60 and 2**n <= resamples


def _resample(
    draw: Callable[[np.random.Generator, int], Floats], n: int, resamples: int, seed: int
) -> Floats:
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK_CELLS // n)
    parts = [draw(rng, min(rows, resamples - done)) for done in range(0, resamples, rows)]
    return np.concatenate(parts, axis=1)
