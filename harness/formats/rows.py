"""Rows of a file whatever its kind: CSV, TSV, JSON Lines, a JSON array or Parquet, by content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from harness.data.packed import open_file, packing
from harness.errors import InputError
from harness.formats.sources import find, first_bytes, json_rows, open_source, reported, table_rows

_ENDS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
_SHEETS = (".xlsx", ".xls", ".ods")
_BATCH = 256
_BUFFER = 1 << 16


def named(folder: Path, name: str) -> Path | None:
    """The one file of that name, whatever its end."""
    found = [path for end in _ENDS if (path := find(folder, name + end))]
    if len(found) > 1:
        raise InputError(f"{found[0]} and {found[1]}: which of both? leave one of them there")
    return found[0] if found else None


def rows(
    path: Path, under: str | None = None, *, quoted: bool = True
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row with its place, held in memory a few hundred at a time.

    ``under`` and ``quoted`` are those of ``json_rows``, for an object, and ``table_rows``. Raises
    InputError.
    """
    if path.suffix.lower() in _SHEETS:
        raise InputError(f"{path}: is a spreadsheet; save the sheet as CSV (UTF-8)")
    head = first_bytes(path)
    if head.startswith(b"PAR1"):
        yield from parquet_rows(path)
    elif head[:1] == b"{" and under is None and _is_spread(head):
        raise InputError(
            f"{path}: is one JSON object, not one a line; name its list of rows: -o under=KEY"
        )
    elif head[:1] in (b"{", b"["):
        yield from json_rows(path, under if head[:1] == b"{" else None)
    else:
        yield from table_rows(path, quoted=quoted)


def _is_spread(head: bytes) -> bool:
    """Whether the first line ends with the opening brace, as in an object written for people."""
    return head[1:].lstrip(b" \t\r").startswith(b"\n")


def parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of a Parquet file; its place is ``FILE[INDEX]``. Raises InputError."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    tell = reported(path)
    size = path.stat().st_size
    with _plain(path) as file:
        try:
            # With a buffer, a group of rows is read piece by piece.
            table = ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)
            index, total = 0, max(table.metadata.num_rows, 1)
            for batch in table.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    yield f"{path}[{index}]", row
                    index += 1
                tell(size * index // total)
        # The last two: of texts that are not UTF-8, and of dates that are none.
        except (ArrowException, OSError, ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path}: cannot read it as Parquet ({reason}); restore the file"
            ) from error


@contextmanager
def _plain(path: Path) -> Iterator[BinaryIO]:
    """A file that can be read from any place, unpacked if need be."""
    if not packing(path):
        with open_file(path) as file:
            yield file
        return
    with TemporaryFile() as plain:
        with open_source(path) as content:
            copyfileobj(content, plain)
        plain.seek(0)
        yield plain
