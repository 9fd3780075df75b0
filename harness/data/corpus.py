"""The pool of passages that every method of a board shares, read from disk on demand."""

from __future__ import annotations

import operator
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, Protocol

from harness.data.jsonl import Row, decode, read_rows
from harness.data.parquet import as_lines
from harness.data.passages import normal_passage, passage_of
from harness.data.scan import Progress, Scan, Text
from harness.data.strings import Strings
from harness.errors import InputError
from harness.fingerprint import fingerprint_lines
from harness.records import Passage


class Corpus:
    """Passages in a fixed order, with unique ids.

    A corpus opened from a file keeps about 40 bytes a passage (offsets, ids and their hashes) in
    memory, of a large file memory-mapped; text is read from the file when asked for.
    ``fingerprint`` is a SHA-256 over the rows ``[id, contents]`` in order, so line ends, a byte
    order mark, blank lines, key order and extra fields do not change it. ``text_bytes`` counts
    the UTF-8 bytes of all ``contents``; ``is_ascii`` tells that these have no other letters.
    ``path`` is the file that its passages are read from, None in memory.
    """

    def __init__(
        self, store: _Store, ids: Strings, fingerprint: str, text: Text, path: Path | None = None
    ) -> None:
        self._store = store
        self._ids = ids
        self.fingerprint = fingerprint
        self.text_bytes = text.bytes
        self.is_ascii = text.bytes == text.letters
        self.path = path

    @classmethod
    def open(cls, path: str | Path, progress: Progress | None = None) -> Corpus:
        """Validate a corpus of JSON Lines or Parquet in one pass and open it.

        Rows are FlashRAG's ``{"id", "contents": "Title\\nText"}`` or ``{"id", "title", "text"}``;
        ``normal_passage`` says which mean the same, and ids may be whole numbers. JSON Lines may be
        packed with gzip, zstd or zip. Takes about 20 s a million passages, of which ``progress`` is
        told in bytes; a file of 64 MB or more is scanned once, the cache keeps what was found.
        Raises InputError naming file, line, field and fix.
        """
        path = Path(path)
        scan = Scan.of(path, progress)
        return cls(_FileStore(path, scan.starts), scan.ids, scan.fingerprint, scan.text, path)

    @classmethod
    def from_passages(cls, passages: Iterable[Passage]) -> Corpus:
        """A corpus held in memory. Raises InputError for no passages or an id used twice."""
        store, text = tuple(map(normal_passage, passages)), Text()
        if not store:
            raise InputError("the corpus holds no passages; expected at least one")
        ids = Strings()
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
        ids, text = Strings(), Text()

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


class _Store(Protocol):
    def __getitem__(self, position: int, /) -> Passage: ...
    def __iter__(self) -> Iterator[Passage]: ...


class _FileStore:
    """Passages of a validated file, parsed when read."""

    def __init__(self, path: Path, starts: Sequence[int]) -> None:
        self._path = path
        self._starts = starts
        # Not a map: its pages would count as this process's memory.
        self._file = as_lines(path).open("rb", buffering=0)
        self._bytes = os.fstat(self._file.fileno()).st_size

    def __getitem__(self, position: int) -> Passage:
        start = int(self._starts[position])
        last = position + 1 == len(self._starts)
        end = self._bytes if last else int(self._starts[position + 1])
        try:
            values: dict[str, Any] = decode(os.pread(self._file.fileno(), end - start, start))
            return passage_of(Row(self._path, 0, start, values))
        except (ValueError, AttributeError, InputError):
            raise InputError(
                f"{self._path}: changed while in use (offset {start}); start again"
            ) from None

    def __iter__(self) -> Iterator[Passage]:
        return map(passage_of, read_rows(self._path))


_FEW = 10_000
"""Passages of a part that are read one by one."""


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
        return compress(self._store, self._mask)
