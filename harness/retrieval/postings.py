"""Postings of a BM25 index, in memory or memory-mapped, and the search of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.data.strings import Strings
from harness.errors import InputError
from harness.retrieval.inverting import PASSAGES, STARTS, TERMS, WEIGHTS
from harness.retrieval.ranking import top_positive, with_scores

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.records import Passage

_COMPILED_FROM = 20_000
"""Passages from which compiled search is worth its half second of import and its memory."""


class Vocabulary(Mapping[str, int]):
    """Numbers of terms, which are the places of saved strings."""

    def __init__(self, terms: Strings) -> None:
        self._terms = terms

    def __getitem__(self, term: str) -> int:
        number = self._terms.find(term)
        if number is None:
            raise KeyError(term)
        return number

    def __iter__(self) -> Iterator[str]:
        return iter(self._terms)

    def __len__(self) -> int:
        return len(self._terms)


@dataclass(frozen=True)
class Postings:
    """For every term the passages that hold it, in order, and its weights there.

    Those of the term numbered t lie from ``starts[t]`` to ``starts[t + 1]``.
    """

    vocabulary: Mapping[str, int]
    weights: NDArray[Any]
    positions: NDArray[Any]
    starts: NDArray[np.int64]
    in_order: bool = True
    """Whether each term's passages are; compiled search needs it."""

    @classmethod
    def open(cls, folder: Path, *, mapped: bool = True) -> Postings:
        """What ``invert`` wrote. Raises InputError if its parts do not fit, OSError, ValueError."""
        mode: Any = "r" if mapped else None
        weights, positions, starts = (
            np.load(folder / name, mmap_mode=mode, allow_pickle=False)
            for name in (WEIGHTS, PASSAGES, STARTS)
        )
        terms = Strings.open(folder, TERMS, mapped=mapped)
        made = cls(Vocabulary(terms), weights, positions, np.asarray(starts))
        if len(starts) != len(terms) + 1 or not made.is_sound:
            raise InputError(f"{folder}: its files do not fit each other")
        return made

    @property
    def is_sound(self) -> bool:
        """Whether every term's postings lie among those that there are."""
        ends = self.starts[0] == 0 and self.starts[-1] == len(self.positions) == len(self.weights)
        return bool(ends and (self.starts[1:] >= self.starts[:-1]).all())

    def is_compiled(self, passages: int) -> bool:
        """Whether search over so many passages is compiled: the same results, sooner."""
        return passages >= _COMPILED_FROM and self.in_order and find_spec("numba") is not None

    def of_term(self, term: int) -> slice:
        """Where the postings of a term lie."""
        return slice(self.starts[term], self.starts[term + 1])

    def search(self, terms: Sequence[str], corpus: Corpus, k: int) -> list[Passage]:
        """The k best passages for the terms of a query; unknown ones are left out."""
        if self.is_compiled(len(corpus)) and k > 0:
            found = self._compiled(terms, len(corpus), k)
            best = np.array([-place for _, place in found], np.int64)
            return with_scores(corpus, best, np.array([score for score, _ in found]))
        scores = self.scores(terms, len(corpus))
        best = top_positive(scores, k)
        return with_scores(corpus, best, scores[best])

    def scores(self, terms: Sequence[str], passages: int) -> NDArray[Any]:
        """Scores float64 [passages] for the terms of a query; 0 where none is known."""
        known = self._known(terms)
        if not known:
            return np.zeros(passages)
        postings = [self.of_term(term) for term in known]
        scores: NDArray[Any] = np.bincount(
            np.concatenate([self.positions[part] for part in postings]),
            weights=np.concatenate([self.weights[part] for part in postings]),
            minlength=passages,
        )
        return scores

    def _known(self, terms: Sequence[str]) -> list[int]:
        numbers = map(self.vocabulary.get, terms)
        return [number for number in numbers if number is not None]

    def _compiled(self, terms: Sequence[str], passages: int, k: int) -> list[tuple[float, int]]:
        """Score and negative position of the k best, best first."""
        from harness.retrieval.compiled import best

        known = np.array(self._known(terms), np.int64)
        if not len(known):
            return []
        weights, positions = self._plain
        starts, ends = (self.starts[known + each].astype(np.uint64) for each in (0, 1))
        found: list[tuple[float, int]] = best(positions, weights, starts, ends, passages, k)
        return sorted(found, reverse=True)

    @cached_property
    def _plain(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Weights and positions as compiled code takes them.

        A position that is negative, as in a damaged file, is then too large and ends its term.
        """
        positions = np.asarray(self.positions)
        unsigned = positions.view(np.uint32) if positions.dtype == np.int32 else positions
        return np.asarray(self.weights), unsigned
