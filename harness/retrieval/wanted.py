"""Vectors that passages still want, by the SHA-256 of their contents; passages alike want one.

Arrays and not a dictionary, which would take some 6 GB of 21 million passages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint8]
"""SHA-256 of texts, [texts, 32]."""

_KEY = np.dtype("V32")


class Wanted:
    """Rows that are to be filled; ``open`` counts those that are not yet.

    ``texts`` are the contents of all ``rows``, in their order.
    """

    def __init__(self, texts: Iterable[str], rows: int) -> None:
        digests, lengths = np.empty((rows, 32), np.uint8), np.empty(rows, np.int32)
        for row, text in enumerate(texts):
            digests[row] = np.frombuffer(digest(text), np.uint8)
            lengths[row] = len(text)
        keys = _keys(digests)
        self._rows = np.argsort(keys, kind="stable")
        keys = keys[self._rows]
        first = np.ones(rows, np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        self._keys, starts = keys[first], np.flatnonzero(first)
        self._bounds = np.append(starts, rows)
        self._wanted = np.ones(len(starts), np.bool_)
        self._lengths = lengths[self._rows[starts]]
        self.open = rows

    def fill(self, digests: Digests, vectors: NDArray[Any], out: NDArray[Any]) -> None:
        """Copy vectors to the rows of ``out`` that want them; each is wanted no more."""
        keys = _keys(digests)
        places = np.searchsorted(self._keys, keys)
        places[places == len(self._keys)] = 0
        for number in np.flatnonzero(self._keys[places] == keys):
            place = places[number]
            if self._wanted[place]:
                rows = self._rows[self._bounds[place] : self._bounds[place + 1]]
                out[rows] = vectors[number]
                self._wanted[place] = False
                self.open -= len(rows)

    def parts(self, size: int) -> Iterator[tuple[Digests, NDArray[np.int64]]]:
        """What is wanted now, so many at a time, longest first: digests and a row of each."""
        left = np.flatnonzero(self._wanted)
        # Keys are sorted, so that those of texts as long come in their order.
        left = left[np.argsort(-self._lengths[left], kind="stable")]
        for start in range(0, len(left), size):
            part = left[start : start + size]
            yield self._digests(part), self._rows[self._bounds[part]]

    def in_order(self) -> tuple[Digests, NDArray[np.int64]]:
        """All that was ever wanted, by the first of its rows: digests and that row."""
        rows = self._rows[self._bounds[:-1]]
        order = np.argsort(rows)
        return self._digests(order), rows[order]

    def _digests(self, places: NDArray[np.int64]) -> Digests:
        return self._keys[places].view(np.uint8).reshape(-1, 32)


def digest(text: str) -> bytes:
    """SHA-256 of a text, lone surrogates included."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _keys(digests: Digests) -> NDArray[np.void]:
    return np.ascontiguousarray(digests).view(_KEY).ravel()
