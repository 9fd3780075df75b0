"""Files of a source read as streams: lines, JSON objects, tables; plain, gzip or zstd by content.

Every row comes with its place, ``FILE:LINE`` or ``FILE[INDEX]`` (a line counts from 1, an index
from 0). InputErrors name it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedReader
from pathlib import Path
from typing import Any

from harness.data.jsonl import parse_object
from harness.data.packed import lines_of, open_unpacked
from harness.errors import InputError
from harness.files import check_depth

BytesRead = Callable[[Path, int], None]
"""Told of a file and the position up to which it was read, in bytes of the file itself."""

_BOM = b"\xef\xbb\xbf"
# Characters of one field of a table: a quote that is not closed would swallow the whole file.
_LONGEST_FIELD = 1 << 26
_DELIMITERS = ("\t", ",", ";")
_SEPARATOR = re.compile(r"sep=([\t,;|])")
_bytes_read: ContextVar[BytesRead | None] = ContextVar("bytes_read", default=None)


@contextmanager
def counted(bytes_read: BytesRead) -> Iterator[None]:
    """While open, everything that is read here is reported."""
    token = _bytes_read.set(bytes_read)
    try:
        yield
    finally:
        _bytes_read.reset(token)


def reported(path: Path) -> Callable[[int], None]:
    """What takes the position up to which a file was read, for whoever counts."""
    report = _bytes_read.get()
    return (lambda at: report(path, at)) if report else lambda _: None


def open_source(path: Path) -> BufferedReader:
    """The unpacked content of a file, reported as it is read. Raises InputError."""
    return open_unpacked(path, reported(path))


def find(folder: Path, name: str) -> Path | None:
    """The file of that name in a folder: plain, else ``.gz``, else ``.zst``; None if none is."""
    places = (folder / f"{name}{end}" for end in ("", ".gz", ".zst"))
    return next((path for path in places if path.is_file()), None)


def first_bytes(path: Path) -> bytes:
    """The first bytes of the content that are no white space or byte order mark; at least four.

    Fewer only if the content ends there. Raises InputError.
    """
    head = b""
    with open_unpacked(path) as file:
        while len(head) < 4 and (more := file.read(1 << 12)):
            head = (head + more).removeprefix(_BOM).lstrip()
    return head


def lines(path: Path) -> Iterator[tuple[str, str]]:
    """Every line with its place, without its end and a byte order mark; UTF-8, else InputError."""
    for number, line in enumerate(_decoded(path), 1):
        yield f"{path}:{number}", line.removesuffix("\n").removesuffix("\r")


def json_rows(path: Path, under: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of JSON Lines or of a JSON array, held in memory one at a time.

    ``under`` names the key of a single object that holds the array. Raises InputError for what is
    not valid JSON or no object, and for an object without that array.
    """
    if under is None and first_bytes(path)[:1] != b"[":
        yield from _json_lines(path)
        return
    found = False
    for index, value in enumerate(_items(path, f"{under}.item" if under else "item")):
        where, found = f"{path}[{index}]", True
        if not isinstance(value, dict):
            raise InputError(f'{where}: is no object; expected objects like {{"id": …}}')
        yield where, value
    if under and not found:
        raise InputError(f'{path}: has no rows under "{under}"; expected {{"{under}": [{{…}}]}}')


def table_rows(path: Path, *, quoted: bool = True) -> Iterator[tuple[str, dict[str, str]]]:
    """Every row of a table by the names of its first line; the place is that of its first line.

    Columns are parted by the tab, comma or semicolon that the first line has most of, or as a first
    line ``sep=;`` says; fields may be quoted as CSV does, unless ``quoted`` is False. Blank lines
    are left out. Raises InputError for names that are empty or not unique, a row of another length
    and a quote that is not closed.
    """
    text = _decoded(path)
    first = next(text, "")
    delimiter = max(_DELIMITERS, key=first.count)
    if for_excel := _SEPARATOR.fullmatch(first.rstrip("\r\n")):
        delimiter, first = for_excel[1], "\n"  # blank lines are left out, and still counted
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(
        _both(first, text),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
        strict=True,
    )
    header: list[str] = []
    for where, fields in _records(path, reader):
        if not header:
            header = _header(where, fields)
            continue
        if len(fields) > len(header) and not any(fields[len(header) :]):
            fields = fields[: len(header)]
        if len(fields) != len(header):
            raise InputError(
                f"{where}: has {len(fields)} fields and the first line {len(header)}; put fields "
                "with line breaks or delimiters in quotes"
            )
        yield where, dict(zip(header, fields, strict=True))


def _both(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _records(path: Path, reader: Any) -> Iterator[tuple[str, list[str]]]:
    """Every record that is not blank, with the place where it begins."""
    while True:
        where = f"{path}:{reader.line_num + 1}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem, hint = str(error), "close every quote, and double those inside of quotes"
            if "new-line character" in problem:
                problem, hint = "a carriage return alone", "end lines as Windows or Unix do"
            raise InputError(f"{where}: not a row of a table ({problem}); {hint}") from None
        if any(fields):
            yield where, fields


def _header(where: str, names: list[str]) -> list[str]:
    while names and not names[-1].strip():
        names = names[:-1]
    header = [name.strip() for name in names]
    if not all(header):
        raise InputError(f"{where}: column {header.index('') + 1} has no name; give it one")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{where}: two columns are called '{twice}'; rename one")
    return header


def _decoded(path: Path) -> Iterator[str]:
    """Lines with their ends."""
    start = 0
    with open_source(path) as file:
        for number, line in enumerate(lines_of(path, file), 1):
            body = line.removeprefix(_BOM) if number == 1 else line
            try:
                yield body.decode()
            except UnicodeDecodeError as error:
                at = start + len(line) - len(body) + error.start
                raise InputError(
                    f"{path}:{number}: byte 0x{body[error.start]:02x} at offset {at} is not UTF-8; "
                    "save the file as UTF-8"
                ) from None
            start += len(line)


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    start = 0
    with open_source(path) as file:
        for number, raw in enumerate(lines_of(path, file), 1):
            body = raw.removeprefix(_BOM) if number == 1 else raw
            if body.strip():
                where = f"{path}:{number}"
                yield where, parse_object(where, start + len(raw) - len(body), body)
            start += len(raw)


def _items(path: Path, prefix: str) -> Iterator[Any]:
    import ijson

    index = 0
    with open_source(path) as file:
        if file.peek(3).startswith(_BOM):
            file.read(3)
        try:
            for value in ijson.items(file, prefix, use_float=True):
                check_depth(value)
                yield value
                index += 1
        # ValueError: bytes that are not UTF-8, numbers of thousands of digits, or depth.
        except (ijson.JSONError, ValueError) as error:
            # The parser's message goes on with a drawing of the place.
            reason = str(error).removeprefix("b'").replace("\\n", "\n").partition("\n")[0]
            raise InputError(
                f"{path}[{index}]: not valid JSON ({reason}); restore the file"
            ) from None
