"""Rows of JSON Lines, packed or not, and Parquet read as a stream; errors name place and fix."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import Any

from harness.data.packed import lines_of, open_file, packing
from harness.data.parquet import as_lines, is_parquet
from harness.errors import InputError
from harness.files import DEEPEST, check_depth

_BOM = b"\xef\xbb\xbf"
_SUSPECT_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
BAD_CHARACTER = re.compile("[\0\ud800-\udfff]")
"""What no text may hold: NUL, and halves of surrogate pairs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One JSON object of a file. ``line`` counts from 1.

    ``start`` is its offset in bytes, in the lines that the file is read as (``as_lines``).
    """

    path: Path
    line: int
    start: int
    values: dict[str, Any]

    def error(self, problem: str) -> InputError:
        """An error at this row; ``problem`` says what is wrong and how to fix it."""
        return InputError(f"{self.where}: {problem}")

    @property
    def where(self) -> str:
        """File and line, or row, for messages."""
        return place(self.path, self.line)

    @property
    def counted(self) -> str:
        """``line 3``, or ``row 3`` of a file without lines."""
        return f"{_unit(self.path)} {self.line}"

    def require(self, field: str, expected: str) -> Any:
        """The field's value. Raises InputError if the row has no such field or it is null."""
        value = self.values.get(field)
        if value is None:
            there = ", ".join(sorted(self.values)) or "nothing"
            how = "is null" if field in self.values else f"is missing (this row has: {there})"
            raise self.error(f"'{field}' {how}; expected {expected}")
        return value

    def text(self, field: str, expected: str = "a string") -> str:
        """A string field that is not blank, unchanged. Raises InputError."""
        return self._string(field, self.require(field, expected))

    def text_or_none(self, field: str) -> str:
        """A string field, unchanged; empty if it is missing, null or blank. Raises InputError."""
        value = self.values.get(field)
        blank = value is None or (isinstance(value, str) and not value.strip())
        return "" if blank else self._string(field, value)

    def identifier(self, field: str) -> str:
        """An id: a string that is not blank, or a whole number, as its digits. Raises InputError.

        Of 7 and "7" nobody can say that they are not the same, so they are.
        """
        return self.text(field) if (number := whole(self.values.get(field))) is None else number

    def identifiers(self, field: str) -> tuple[str, ...]:
        """A field that is a list of at least one id. Raises InputError."""
        values = self.values.get(field)
        if isinstance(values, list):
            strings = [value if (n := whole(value)) is None else n for value in values]
            return replace(self, values={**self.values, field: strings}).texts(field)
        return self.texts(field)

    def texts(self, field: str) -> tuple[str, ...]:
        """A field that is a list of at least one string, none blank. Raises InputError."""
        values = self.require(field, "a list of strings")
        if not isinstance(values, list):
            raise self.error(f"'{field}' is {kind_of(values)}; expected a list of strings")
        if not values:
            raise self.error(f"'{field}' is empty; expected at least one string")
        return tuple(self._string(f"{field}[{i}]", value) for i, value in enumerate(values))

    def _string(self, field: str, value: Any) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            how = (
                "store the column as strings"
                if is_parquet(self.path)
                else f'put it in quotes: "{value}"'
            )
            raise self.error(f"'{field}' is a number; {how}")
        if not isinstance(value, str):
            raise self.error(f"'{field}' is {kind_of(value)}; expected a string")
        if not value.strip():
            raise self.error(f"'{field}' is empty; expected at least one visible character")
        return value


def read_rows(path: Path) -> Iterator[Row]:
    """Yield every object of a JSON Lines or Parquet file, holding one line in memory at a time.

    JSON Lines may be packed with gzip or zstd (``as_lines`` unpacks them once). A UTF-8 byte order
    mark, CRLF line ends and blank lines are accepted. Raises InputError for a file that cannot be
    read, bytes that are not UTF-8, broken JSON (NaN, infinities, NUL and unpaired surrogates
    included) and lines that are not objects.
    """
    end = 0
    with _open(path) as file:
        for line, raw in enumerate(lines_of(path, file), 1):
            end += len(raw)
            body = raw.removeprefix(_BOM) if line == 1 else raw
            if body.strip():
                start = end - len(body)
                where = place(path, line)
                values = parse_object(where, start, body)
                if _SUSPECT_ESCAPE.search(body):
                    _check_characters(where, values)
                yield Row(path, line, start, values)


def decode(body: bytes) -> Any:
    """Decode one line strictly. Raises ValueError (UnicodeDecodeError if it is not UTF-8)."""
    try:
        value = _DECODER.decode(body.decode().strip())
    except RecursionError:
        raise ValueError("nested too deep") from None
    # Only then it can be: looking takes a tenth of the time that parsing does.
    if body.count(b"[") + body.count(b"{") > DEEPEST:
        check_depth(value)
    return value


def place(path: Path, line: int) -> str:
    """Where a row is, for messages: Parquet has rows, not lines."""
    return f"{path}: row {line}" if is_parquet(path) else f"{path}:{line}"


def _unit(path: Path) -> str:
    return "row" if is_parquet(path) else "line"


def _open(path: Path) -> BufferedReader:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected a file with one JSON object a line")
    file = open_file(as_lines(path))
    if file.peek(4).startswith(b"PAR1"):
        file.close()
        first = "unpack it and " if packing(path) else ""
        raise InputError(f"{path}: is a Parquet file; {first}give it a name that ends in .parquet")
    return file


def parse_object(where: str, start: int, body: bytes) -> dict[str, Any]:
    """The object of one line at ``where``, ``start`` its offset in bytes. Raises InputError.

    Texts may hold NUL characters and unpaired surrogates, which a JSON file can spell.
    """
    where = f"{where}:"
    try:
        values = decode(body)
    except UnicodeDecodeError as error:
        byte, offset = body[error.start], start + error.start
        raise InputError(
            f"{where} byte 0x{byte:02x} at offset {offset} is not UTF-8; save the file as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where} not valid JSON ({error.msg}, column {error.colno}); "
            "expected one complete object a line"
        ) from None
    except ValueError as error:
        raise InputError(f"{where} not valid JSON ({error}); remove or replace it") from None
    if not isinstance(values, dict):
        raise InputError(
            f'{where} the line is {kind_of(values)}; expected an object like {{"id": …}}'
        )
    return values


def _check_characters(where: str, values: dict[str, Any]) -> None:
    for field, value in values.items():
        for text in _strings([field, value]):
            if bad := BAD_CHARACTER.search(text):
                name = "a NUL character" if bad[0] == "\0" else "an unpaired surrogate"
                raise InputError(f"{where}: {field!a} holds {name}; remove it")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _strings([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_finite)


def whole(value: Any) -> str | None:
    """The digits of a whole number; None for anything else."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def kind_of(value: Any) -> str:
    """What a value of JSON is, for messages."""
    if value is None:
        return "null"
    names = {bool: "true or false", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")
