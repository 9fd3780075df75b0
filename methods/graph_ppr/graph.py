"""A graph of phrases over passages, and the walk that ranks them: personalised PageRank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import InputError
from harness.files import read_json, write_json

Floats = NDArray[np.float64]

TOLERANCE = 1e-10
"""The walk ends when its probabilities, which sum to 1, change by less than that in all."""
PHRASES = "phrases.json"
_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True)
class Graph:
    """Phrases, which passage has which, and the weights with which a walk goes between phrases.

    ``passages`` is a scipy CSR array [passages, phrases]: how often a passage has a phrase.
    ``edges`` [phrases, phrases], symmetric; None where a walk goes from a phrase to any passage
    that has it, and on to any phrase of that.
    """

    phrases: Mapping[str, int]
    passages: Any
    edges: Any = None

    @classmethod
    def of(
        cls,
        phrases_of: Sequence[Iterable[str]],
        edges: Mapping[tuple[str, str], float] | None = None,
    ) -> Graph:
        """From the phrases of every passage, each as often as it counts; edges go both ways."""
        known: dict[str, int] = {}
        rows = [[known.setdefault(phrase, len(known)) for phrase in each] for each in phrases_of]
        cells = [(row, column, 1.0) for row, columns in enumerate(rows) for column in columns]
        passages = _matrix(cells, (len(rows), len(known)))
        if edges is None:
            return cls(known, passages)
        ends = [(known[a], known[b], weight) for (a, b), weight in edges.items() if a != b]
        both = [*ends, *((b, a, weight) for a, b, weight in ends)]
        return cls(known, passages, _matrix(both, (len(known), len(known))))

    def save(self, folder: Path) -> None:
        """Write phrases as JSON, and every sparse array as three npy files."""
        write_json(folder / PHRASES, list(self.phrases))
        for name, matrix in self._matrices.items():
            for part in _PARTS:
                np.save(folder / f"{name}.{part}.npy", getattr(matrix, part), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, passages: int) -> Graph:
        """Open what ``save`` left. Raises InputError if it is of another number of passages."""
        phrases = {phrase: n for n, phrase in enumerate(read_json(folder / PHRASES))}
        found = _load(folder, "passages", len(phrases))
        if found.shape[0] != passages:
            raise InputError(
                f"{folder}: a graph of {found.shape[0]} passages, not {passages}; delete it and "
                "run again"
            )
        has_edges = (folder / "edges.indptr.npy").exists()
        edges = _load(folder, "edges", len(phrases)) if has_edges else None
        return cls(phrases, found, edges)

    @property
    def _matrices(self) -> dict[str, Any]:
        return {"passages": self.passages} | ({} if self.edges is None else {"edges": self.edges})

    @cached_property
    def frequencies(self) -> Floats:
        """In how many passages every phrase is; at least 1."""
        counts = np.bincount(self.passages.indices, minlength=len(self.phrases))
        return np.maximum(counts, 1).astype(np.float64)

    def specific(self, phrases: Iterable[str]) -> Floats:
        """Where a walk starts: at known phrases, the fewer passages one is in the more often.

        Sums to 1; all zeros if none is known.
        """
        start = np.zeros(len(self.phrases))
        places = [self.phrases[phrase] for phrase in phrases if phrase in self.phrases]
        start[places] = 1 / self.frequencies[places]
        total = start.sum()
        return start / total if total else start

    def walk(self, start: Floats, damping: float) -> Floats:
        """Personalised PageRank: where a walk is that goes on with the probability ``damping``.

        Otherwise it begins again at ``start`` (sums to 1), as it does where no edge leads on.
        """
        now = start
        while True:
            moved = self._step(now)
            then: Floats = damping * moved + (1 - damping * moved.sum()) * start
            if np.abs(then - now).sum() < TOLERANCE:
                return then
            now = then

    def scores(self, start: Floats, damping: float, *, specific: bool = False) -> Floats:
        """Of every passage: the sum over its phrases of where the walk is.

        ``specific`` divides a phrase's part by the number of passages that have it.
        """
        at = self.walk(start, damping)
        found: Floats = self.passages @ (at / self.frequencies if specific else at)
        return found

    def _step(self, now: Floats) -> Floats:
        if self.edges is not None:
            along: Floats = self.edges @ (now / self._degrees)
            return along
        at_passages = self._present @ (now / self.frequencies)
        moved: Floats = self._onward @ at_passages
        return moved

    @cached_property
    def _degrees(self) -> Floats:
        degrees = np.asarray(self.edges.sum(axis=1, dtype=np.float64)).ravel()
        return np.where(degrees > 0, degrees, 1.0)

    @cached_property
    def _present(self) -> Any:
        """[passages, phrases]: 1 where a passage has a phrase."""
        present = self.passages.copy()
        present.data = np.ones_like(present.data)
        return present

    @cached_property
    def _onward(self) -> Any:
        """[phrases, passages]: the chance that a walk at a passage goes to a phrase of it."""
        counts = np.diff(self.passages.indptr)
        shares = self._present.copy()
        shares.data = shares.data / np.repeat(np.maximum(counts, 1), counts)
        return shares.T.tocsr()


def _matrix(cells: Sequence[tuple[int, int, float]], shape: tuple[int, int]) -> Any:
    """A CSR array of sums, columns in order: equal cells give equal bytes."""
    from scipy.sparse import coo_array

    rows, columns, values = zip(*cells, strict=True) if cells else ((), (), ())
    places = (np.asarray(rows, np.int32), np.asarray(columns, np.int32))
    matrix = coo_array((np.asarray(values, np.float32), places), shape=shape).tocsr()
    matrix.sum_duplicates()
    matrix.sort_indices()
    return matrix


def _load(folder: Path, name: str, columns: int) -> Any:
    from scipy.sparse import csr_array

    data, indices, indptr = (
        np.load(folder / f"{name}.{part}.npy", allow_pickle=False) for part in _PARTS
    )
    return csr_array((data, indices, indptr), shape=(len(indptr) - 1, columns))
