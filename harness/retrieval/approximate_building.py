"""Building of an approximate index from a file of vectors, and its recall against a flat one.

Vectors are read in blocks, so that beside the index only a block, and while it is trained a sample,
is in memory. The sample and faiss's seeds are fixed, and training is by one thread: the same
vectors give the same bytes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.cores import wanted_threads
from harness.errors import InputError
from harness.files import atomic_file
from harness.retrieval.index_kinds import Kind

Rows = NDArray[np.int64]
Find = Callable[[NDArray[np.float32], int], Rows]
"""Positions of the k nearest to a vector [dimensions], the nearest first."""
Told = Callable[[int, int], None]

DEPTH = 10
"""Of Recall."""
_ASKED = 200
_BLOCK = 2**15
_SEED = 0


def build_faiss(vectors: NDArray[Any], kind: Kind, told: Told | None = None) -> Any:
    """A faiss index of vectors [passages, dimensions], whose row i is passage i.

    ``told`` is called with the passages added and their total. Raises ConfigError for settings that
    do not fit the vectors.
    """
    import faiss

    passages, dimensions = vectors.shape
    made = faiss.index_factory(
        dimensions, kind.factory(passages, dimensions), faiss.METRIC_INNER_PRODUCT
    )
    kind.prepare(made)
    with threads(1), _multiplying():
        made.train(_sample(vectors, kind.sample(passages, dimensions)))
    with threads(1 if kind.one_thread else wanted_threads()):
        for start, block in blocks(vectors):
            made.add(block)
            if told:
                told(start + len(block), passages)
    return made


def blocks(vectors: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Consecutive rows in float32, with the number of the first."""
    for start in range(0, len(vectors), _BLOCK):
        yield start, np.ascontiguousarray(vectors[start : start + _BLOCK], np.float32)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let faiss compute with so many."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def _multiplying() -> Iterator[None]:
    """Let faiss compare by products of matrices from 20 vectors on, as it long did.

    By default faiss 1.15 begins so late that codes took twelve times as long to train.
    """
    import faiss

    settings: Any = faiss.cvar
    before = settings.distance_compute_blas_threshold
    settings.distance_compute_blas_threshold = 20
    try:
        yield
    finally:
        settings.distance_compute_blas_threshold = before


def _sample(vectors: NDArray[Any], size: int) -> NDArray[np.float32]:
    if size == len(vectors):
        return np.ascontiguousarray(vectors, np.float32)
    chosen = np.random.default_rng(_SEED).choice(len(vectors), size, replace=False)
    chosen.sort()
    found = np.empty((size, vectors.shape[1]), np.float32)
    for start in range(0, size, _BLOCK):  # no copy of the whole in another type
        found[start : start + _BLOCK] = vectors[chosen[start : start + _BLOCK]]
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    """Passages spread evenly over a corpus, and what is nearest to each, itself left out."""

    rows: Rows
    """Positions [asked] of the passages."""
    vectors: NDArray[np.float32]
    """Their vectors [asked, dimensions]."""
    nearest: Rows
    """Positions [asked, up to 10] by the inner product, the nearest first, ties by position."""

    @classmethod
    def of(cls, vectors: NDArray[Any]) -> Self:
        """Ask for 200 passages, or all where there are fewer, and compare with every vector."""
        count = min(_ASKED, len(vectors))
        rows = np.arange(count, dtype=np.int64) * len(vectors) // count
        asked = np.ascontiguousarray(vectors[rows], np.float32)
        best = np.empty((count, 0), np.float64)
        where = np.empty((count, 0), np.int64)
        for start, block in blocks(vectors):
            scores = (asked @ block.T).astype(np.float64)
            its = np.arange(start, start + len(block), dtype=np.int64)
            scores[rows[:, None] == its] = -np.inf
            keep = min(4 * DEPTH, len(block))
            found = np.argpartition(-scores, keep - 1, axis=1)[:, :keep]
            best = np.hstack([best, np.take_along_axis(scores, found, 1)])
            where = np.hstack([where, its[found]])
            order = np.lexsort((where, -best), axis=1)[:, : min(DEPTH, len(vectors) - 1)]
            best = np.take_along_axis(best, order, 1)
            where = np.take_along_axis(where, order, 1)
        return cls(rows, asked, where)

    def recall(self, find: Find) -> float:
        """The share of the nearest that ``find`` finds among as many; 1.0 of a single passage.

        Of equal vectors only those count that stand first in the corpus.
        """
        depth = self.nearest.shape[1]
        if not depth:
            return 1.0
        hits = 0
        for row, vector, nearest in zip(self.rows, self.vectors, self.nearest, strict=True):
            found = find(vector, depth + 1)
            hits += len(np.intersect1d(found[found != row][:depth], nearest))
        return float(hits / self.nearest.size)

    def write(self, path: Path) -> None:
        """Save it, all or nothing."""
        with atomic_file(path) as file:
            np.savez(file, rows=self.rows, vectors=self.vectors, nearest=self.nearest)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What ``write`` wrote. Raises InputError if it is damaged."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(file["rows"], file["vectors"], file["nearest"])
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: damaged ({error}); delete its folder") from error
