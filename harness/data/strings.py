"""Strings in order, each once, found by hash: in arrays instead of one object each, so that they
can be saved and memory-mapped."""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, overload

import numpy as np

_PARTS = ("text", "ends", "hashes", "order")


class Strings(Sequence[str]):
    """Unique strings in order; some 20 bytes each beside their UTF-8."""

    def __init__(self) -> None:
        self._text: Any = bytearray()
        self._ends: Any = array("q", [0])
        self._new = array("Q")
        self._hashes = self._order = memoryview(b"")

    @classmethod
    def of(cls, strings: Iterable[str]) -> Strings:
        """Strings that are known to be unique."""
        made = cls()
        for each in strings:
            made.append(each)
        made.seal()
        return made

    @classmethod
    def open(cls, folder: Path, name: str, *, mapped: bool = True) -> Strings:
        """What ``save`` wrote. Raises OSError or ValueError."""
        mode: Any
        made, mode = cls(), "r" if mapped else None
        made._text, made._ends, made._hashes, made._order = (
            # numpy makes an object of each number, which costs more than finding it.
            memoryview(np.load(_file(folder, name, part), mmap_mode=mode, allow_pickle=False))
            for part in _PARTS
        )
        return made

    def save(self, folder: Path, name: str) -> None:
        """Write four files ``NAME.*.npy``, once sealed."""
        text, ends = np.frombuffer(self._text, np.uint8), np.asarray(self._ends)
        parts = (text, ends, np.asarray(self._hashes), np.asarray(self._order))
        for part, values in zip(_PARTS, parts, strict=True):
            np.save(_file(folder, name, part), values, allow_pickle=False)

    def append(self, text: str) -> None:
        """Add one; call ``seal`` after the last."""
        self._text += text.encode()
        self._ends.append(len(self._text))
        self._new.append(_hash(text))

    def seal(self) -> int | None:
        """Make all findable; returns the position of the first string that was there before."""
        hashes = np.frombuffer(self._new, np.uint64)
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        self._hashes = hashes.data
        self._order = order.astype(np.uint32 if len(order) < 2**32 else np.int64).data
        self._new = array("Q")
        same = np.flatnonzero(hashes[1:] == hashes[:-1])
        # Equal hashes are only a suspicion: compare the strings themselves, in order.
        seen: set[str] = set()
        for position in np.unique(order[np.union1d(same, same + 1)]):
            text = self[int(position)]
            if text in seen:
                return int(position)
            seen.add(text)
        return None

    def find(self, text: str) -> int | None:
        """The position of a string, or None."""
        key, hashes = _hash(text), self._hashes
        for place in range(bisect_left(hashes, key), len(hashes)):
            if hashes[place] != key:
                break
            if self[position := self._order[place]] == text:
                return position
        return None

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = operator.index(index)
        if not 0 <= place < len(self):
            place = range(len(self))[place]
        return bytes(self._text[self._ends[place] : self._ends[place + 1]]).decode()


def _file(folder: Path, name: str, part: str) -> Path:
    return folder / f"{name}.{part}.npy"


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
