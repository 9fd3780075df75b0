"""Ids of a file that is being written, as hashes: which came before, and which are there at all."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows whose id an earlier row has: those that say the same, and those that say otherwise."""

    same: NDArray[np.int64]
    other: NDArray[np.int64]


class Digests:
    """Ids and contents of rows as hashes of 128 and 64 bits: some 40 bytes a row, not the text.

    Two ids of a billion have the same 128 bits with a chance of 1 in 10^20.
    """

    def __init__(self) -> None:
        self._high, self._low, self._contents = array("Q"), array("Q"), array("Q")
        self._sorted = np.empty(0, np.uint64)
        self._order = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._low)

    def append(self, id_: str, row: bytes) -> None:
        """Add the next row; call ``seal`` after the last."""
        high, low = _hash(id_)
        self._high.append(high)
        self._low.append(low)
        self._contents.append(int.from_bytes(blake2b(row, digest_size=8).digest()))

    def seal(self) -> Repeats:
        """Make ids findable; which rows repeat an id, in order."""
        high, low = np.frombuffer(self._high, np.uint64), np.frombuffer(self._low, np.uint64)
        order = np.argsort(high, kind="stable")
        self._sorted = high[order]
        self._order = order.astype(np.uint32 if len(order) < 2**32 else np.int64)
        self._high = array("Q")
        near = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        suspects = np.unique(order[np.union1d(near, near + 1)])
        del order
        # Of equal ids the first stands first: a stable sort keeps the order of the rows.
        ranked = suspects[np.lexsort((low[suspects], high[suspects]))]
        again = np.zeros(len(ranked), bool)
        again[1:] = (high[ranked[1:]] == high[ranked[:-1]]) & (low[ranked[1:]] == low[ranked[:-1]])
        firsts = np.maximum.accumulate(np.where(again, 0, np.arange(len(ranked))))
        contents = np.frombuffer(self._contents, np.uint64)
        same = contents[ranked] == contents[ranked[firsts]]
        self._contents = array("Q")
        return Repeats(np.sort(ranked[again & same]), np.sort(ranked[again & ~same]))

    def __contains__(self, id_: str) -> bool:
        high, low = _hash(id_)
        place = int(np.searchsorted(self._sorted, np.uint64(high)))
        while place < len(self._sorted) and int(self._sorted[place]) == high:
            if self._low[int(self._order[place])] == low:
                return True
            place += 1
        return False


def _hash(id_: str) -> tuple[int, int]:
    digest = blake2b(id_.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:])
