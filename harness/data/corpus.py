"""The pool of passages that every method of a board shares, read from disk on demand."""

from __future__ import annotations

import mmap
import operator
from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import compress
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np

from harness.data.jsonl import Row, decode, read_rows
from harness.data.parquet import as_lines
from harness.data.passages import normal_passage, passage_of
from harness.errors import InputError
from harness.fingerprint import fingerprint_lines
from harness.records import Passage


class Corpus:
    """Passages in a fixed order, with unique ids.

    A corpus opened from a file keeps about 40 bytes a passage in memory (offsets, ids and their
    hashes); text is read from the memory-mapped file when asked for. ``fingerprint`` is a SHA-256
    over the rows ``[id, contents]`` in order, so line ends, a byte order mark, blank lines, key
    order and extra fields do not change it. ``text_bytes`` counts the UTF-8 bytes of all
    ``contents``; ``is_ascii`` tells that these have no other letters. ``path`` is the file that its
    passages are read from, None in memory.
    """

    def __init__(
        self, store: _Store, ids: Ids, fingerprint: str, text: _Text, path: Path | None = None
    ) -> None:
        self._store = store
        self._ids = ids
        self.fingerprint = fingerprint
        self.text_bytes = text.bytes
        self.is_ascii = text.bytes == text.letters
        self.path = path

    @classmethod
    def open(cls, path: str | Path) -> Corpus:
        """Validate a corpus of JSON Lines or Parquet in one pass and open it.

        Rows are FlashRAG's ``{"id", "contents": "Title\\nText"}`` or ``{"id", "title", "text"}``;
        ``normal_passage`` says which mean the same, and ids may be whole numbers. JSON Lines may be
        packed with gzip or zstd. Takes about 20 s a million passages.
        Raises InputError naming file, line, field and fix.
        """
        path = Path(path)
        scan = _Scan(path)
        fingerprint = fingerprint_lines(scan)
        if not scan.starts:
            raise InputError(f"{path}: holds no passages; expected one JSON object a line")
        duplicate = scan.ids.seal()
        if duplicate is not None:
            raise _duplicate_error(path, scan.ids[duplicate])
        return cls(_FileStore(path, scan.starts), scan.ids, fingerprint, scan.text, path)

    @classmethod
    def from_passages(cls, passages: Iterable[Passage]) -> Corpus:
        """A corpus held in memory. Raises InputError for no passages or an id used twice."""
        store, text = tuple(map(normal_passage, passages)), _Text()
        if not store:
            raise InputError("the corpus holds no passages; expected at least one")
        ids = Ids()
        for passage in store:
            if "\n" in passage.title:
                raise InputError(f"passage {passage.id!r}: 'title' has a line break; remove it")
            if not passage.text.strip():
                raise InputError(f"passage {passage.id!r} is empty; give it a title or a text")
            ids.append(passage.id)
        duplicate = ids.seal()
        if duplicate is not None:
            raise InputError(f"passage id {ids[duplicate]!r} is used twice; make ids unique")
        fingerprint = fingerprint_lines([p.id, text.counted(p.contents)] for p in store)
        return cls(store, ids, fingerprint, text)

    def part(self, positions: Iterable[int]) -> Corpus:
        """The passages at these positions as a corpus of their own, in the order of this one.

        Its fingerprint is that of a file of just these passages. Raises InputError for none.
        """
        kept = array("q", sorted(set(positions)))
        if not kept:
            raise InputError("no passage is left in the corpus; keep at least one")
        store = _PartStore(self._store, kept, len(self))
        ids, text = Ids(), _Text()

        def rows() -> Iterator[list[str]]:
            for passage in store:
                ids.append(passage.id)
                yield [passage.id, text.counted(passage.contents)]

        fingerprint = fingerprint_lines(rows())
        ids.seal()
        return Corpus(store, ids, fingerprint, text, self.path)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, position: int) -> Passage:
        index = operator.index(position)
        if not -len(self) <= index < len(self):
            raise IndexError(f"position {index} is outside a corpus of {len(self)} passages")
        return self._store[index % len(self)]

    def __iter__(self) -> Iterator[Passage]:
        return iter(self._store)

    def __contains__(self, passage_id: object) -> bool:
        return isinstance(passage_id, str) and self._ids.find(passage_id) is not None

    @property
    def ids(self) -> Sequence[str]:
        """All ids in corpus order, as a read-only sequence that decodes them on demand."""
        return self._ids

    def position(self, passage_id: str) -> int:
        """The place of a passage in corpus order. Raises KeyError for an unknown id."""
        found = self._ids.find(passage_id)
        if found is None:
            raise KeyError(f"no passage has the id {passage_id!r}")
        return found

    def get(self, passage_id: str) -> Passage:
        """The passage with this id. Raises KeyError for an unknown id."""
        return self[self.position(passage_id)]


class Ids(Sequence[str]):
    """Unique strings in order, found by hash: bytes and offsets instead of one object each."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._ends = array("q", [0])
        self._hashes = array("Q")
        self._sorted = np.empty(0, np.uint64)
        self._order = np.empty(0, np.int64)

    def append(self, text: str) -> None:
        """Add one id; call ``seal`` after the last."""
        self._blob += text.encode()
        self._ends.append(len(self._blob))
        self._hashes.append(_hash(text))

    def seal(self) -> int | None:
        """Make ids findable; returns the position of the first id that was used before."""
        hashes = np.frombuffer(self._hashes, np.uint64)
        order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[order]
        self._order = order.astype(np.uint32 if len(order) < 2**32 else np.int64)
        self._hashes = array("Q")
        same = np.flatnonzero(self._sorted[1:] == self._sorted[:-1])
        # Equal hashes are only a suspicion: compare the ids themselves, in corpus order.
        seen: set[str] = set()
        for position in np.unique(order[np.union1d(same, same + 1)]):
            text = self[int(position)]
            if text in seen:
                return int(position)
            seen.add(text)
        return None

    def find(self, text: str) -> int | None:
        """The position of an id, or None."""
        key = np.uint64(_hash(text))
        place = int(np.searchsorted(self._sorted, key))
        while place < len(self._sorted) and self._sorted[place] == key:
            position = int(self._order[place])
            if self[position] == text:
                return position
            place += 1
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
        place = range(len(self))[operator.index(index)]
        return self._blob[self._ends[place] : self._ends[place + 1]].decode()


class _Text:
    """Counts the UTF-8 bytes and the letters of texts: as many of both means ASCII."""

    def __init__(self) -> None:
        self.bytes = self.letters = 0

    def counted(self, contents: str) -> str:
        """The same text, counted."""
        self.bytes += len(contents.encode())
        self.letters += len(contents)
        return contents


class _Store(Protocol):
    def __getitem__(self, position: int, /) -> Passage: ...
    def __iter__(self) -> Iterator[Passage]: ...


class _Scan:
    """One validating pass over a file; iterating yields the rows to fingerprint."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.starts = array("q")
        self.ids = Ids()
        self.text = _Text()

    def __iter__(self) -> Iterator[list[str]]:
        for row in read_rows(self.path):
            passage = passage_of(row)
            self.starts.append(row.start)
            self.ids.append(passage.id)
            yield [passage.id, self.text.counted(passage.contents)]


class _FileStore:
    """Passages of a validated file, parsed when read."""

    def __init__(self, path: Path, starts: array[int]) -> None:
        self._path = path
        self._starts = starts
        with as_lines(path).open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __getitem__(self, position: int) -> Passage:
        start = self._starts[position]
        last = position + 1 == len(self._starts)
        end = len(self._map) if last else self._starts[position + 1]
        try:
            values: dict[str, Any] = decode(self._map[start:end])
            return passage_of(Row(self._path, 0, start, values))
        except (ValueError, AttributeError, InputError):
            raise InputError(
                f"{self._path}: changed while in use (offset {start}); start again"
            ) from None

    def __iter__(self) -> Iterator[Passage]:
        # A sequential read, not the map: mapped pages would count as this process's memory.
        return map(passage_of, read_rows(self._path))


_FEW = 10_000
"""Passages of a part that are read one by one: they map 40 MB of a file at most."""


class _PartStore:
    """Some passages of a store, in its order."""

    def __init__(self, store: _Store, kept: Sequence[int], total: int) -> None:
        self._store = store
        self._kept = kept
        self._mask = bytearray(total)
        for position in kept:
            self._mask[position] = 1

    def __getitem__(self, position: int) -> Passage:
        return self._store[self._kept[position]]

    def __iter__(self) -> Iterator[Passage]:
        if len(self._kept) <= min(_FEW, len(self._mask) // 4):
            return map(self._store.__getitem__, self._kept)
        # In sequence, for the same reason as a whole file.
        return compress(self._store, self._mask)


def _duplicate_error(path: Path, passage_id: str) -> InputError:
    same = (row for row in read_rows(path) if row.identifier("id") == passage_id)
    first = next(same)
    return next(same).error(
        f"'id' {passage_id!r} was already used on {first.counted}; give each passage its own id"
    )


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
