"""The scan of a corpus file: what one validating pass finds out; of a large file it is kept."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.jsonl import read_rows
from harness.data.parquet import as_lines
from harness.data.passages import passage_of
from harness.data.strings import Strings
from harness.errors import InputError
from harness.files import cache_dir, read_json, write_json
from harness.fingerprint import fingerprint, fingerprint_lines, kept_sha256
from harness.sealed import check_sealed, write_sealed

Progress = Callable[[int, int], None]
"""Called with what is done and the total: bytes of a file."""

_log = logging.getLogger(__name__)
_KEPT_FROM = 2**26
"""Bytes of a file whose scan takes seconds."""
_TELL_EVERY = 1024
# Raised when another passage would be read out of the same row.
_REVISION = 1


class Text:
    """Counts the UTF-8 bytes and the letters of texts: as many of both means ASCII."""

    def __init__(self, bytes_: int = 0, letters: int = 0) -> None:
        self.bytes, self.letters = bytes_, letters

    def counted(self, contents: str) -> str:
        """The same text, counted."""
        self.bytes += len(contents.encode())
        self.letters += len(contents)
        return contents


@dataclass(frozen=True, slots=True)
class Scan:
    """Where each row of a file starts, in bytes, and what a corpus tells without reading it."""

    starts: Sequence[int]
    ids: Strings
    fingerprint: str
    text: Text

    @classmethod
    def of(cls, path: Path, progress: Progress | None = None) -> Scan:
        """Scan a file, or take what an earlier scan of the same content kept.

        Raises InputError naming file, line, field and fix.
        """
        lines = as_lines(path)
        if not lines.is_file() or lines.stat().st_size < _KEPT_FROM:
            return cls._made(path, progress)
        folder = cache_dir("corpora") / fingerprint([kept_sha256(lines), _REVISION])[:32]
        kept = cls._kept(folder)
        if kept is None:
            write_sealed(folder, cls._made(path, progress)._save)
            kept = cls._kept(folder)
        if kept is None:
            raise InputError(f"{folder}: cannot be read back; delete it and try again")
        return kept

    @classmethod
    def _made(cls, path: Path, progress: Progress | None) -> Scan:
        starts, ids, text = array("q"), Strings(), Text()
        total = as_lines(path).stat().st_size if progress and path.exists() else 0

        def rows() -> Iterator[list[str]]:
            for row in read_rows(path):
                passage = passage_of(row)
                starts.append(row.start)
                ids.append(passage.id)
                if progress and len(starts) % _TELL_EVERY == 0:
                    progress(row.start, total)
                yield [passage.id, text.counted(passage.contents)]

        found = fingerprint_lines(rows())
        if not starts:
            raise InputError(f"{path}: holds no passages; expected one JSON object a line")
        duplicate = ids.seal()
        if duplicate is not None:
            raise _duplicate_error(path, ids[duplicate])
        if progress:
            progress(total, total)
        return cls(starts, ids, found, text)

    def _save(self, folder: Path) -> None:
        np.save(folder / "starts.npy", np.asarray(self.starts, np.int64), allow_pickle=False)
        self.ids.save(folder, "ids")
        text = {"bytes": self.text.bytes, "letters": self.text.letters}
        write_json(folder / "corpus.json", {"fingerprint": self.fingerprint, **text})

    @classmethod
    def _kept(cls, folder: Path) -> Scan | None:
        try:
            check_sealed(folder)
            values = read_json(folder / "corpus.json")
            starts = np.load(folder / "starts.npy", mmap_mode="r", allow_pickle=False)
            ids, text = Strings.open(folder, "ids"), Text(values["bytes"], values["letters"])
            return cls(np.asarray(starts), ids, values["fingerprint"], text)  # type: ignore[arg-type]
        except FileNotFoundError:
            return None
        except (InputError, OSError, ValueError, KeyError) as error:
            _log.warning("a kept scan of a corpus is damaged and made again: %s", error)
            return None


def _duplicate_error(path: Path, passage_id: str) -> InputError:
    same = (row for row in read_rows(path) if row.identifier("id") == passage_id)
    first = next(same)
    return next(same).error(
        f"'id' {passage_id!r} was already used on {first.counted}; give each passage its own id"
    )
