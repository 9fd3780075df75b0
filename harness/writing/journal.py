"""Journal: every call of a write on disk as it is answered, so that none is made twice.

One line a call: the CRC-32 of what follows, and a JSON object ``{"key", "kind", "result"}``. Lines
are appended; what stands behind the last whole line, as a kill leaves it, is cut off when the
journal is opened, and asked again.
"""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from io import BytesIO, FileIO
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from harness.files import writing
from harness.writing.stored import key_of, restored, stored

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

Submit = Callable[[str, Any], Awaitable[Any]]

FSYNC_SECONDS = 1.0
_CRC_DIGITS = 8


@dataclass(slots=True)
class Counts:
    """What was asked so far, in all sessions; tokens are None where somebody did not count them."""

    llm_calls: int = 0
    retrievals: int = 0
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0

    def add(self, kind: str, result: dict[str, Any]) -> None:
        """Count one call."""
        if kind == "search":
            self.retrievals += 1
            return
        self.llm_calls += 1
        self.prompt_tokens = _sum(self.prompt_tokens, result["prompt_tokens"])
        self.completion_tokens = _sum(self.completion_tokens, result.get("completion_tokens", 0))


class Journal:
    """Calls of one write, each made once: the same request later gets the first one's result.

    A context manager. It is kept in memory, too: some hundred bytes a call.
    """

    def __init__(self, path: Path, submit: Submit, corpus: Corpus | None) -> None:
        self.path, self.counts = path, Counts()
        self._submit, self._corpus = submit, corpus
        self._known: dict[str, tuple[str, dict[str, Any]]] = {}
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._file: FileIO | None = None
        self._synced = 0.0

    def __enter__(self) -> Journal:
        with writing(self.path):
            end = 0
            if self.path.exists():
                for line, row in _whole_lines(self.path.read_bytes()):
                    self._know(row["key"], row["kind"], row["result"])
                    end += len(line)
            # Unbuffered: nothing is left behind that a later close could fail to write.
            self._file = self.path.open("ab", buffering=0)
            self._file.truncate(end)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with writing(self.path), self._file as file:
                os.fsync(file.fileno())

    async def submit(self, kind: str, request: Any) -> Any:
        """The result of a request: of an earlier session, of one like it, or newly asked for."""
        key = key_of(kind, request)
        while (same := self._under_way.get(key)) is not None:
            await asyncio.wait([same])
        if key not in self._known:
            self._under_way[key] = asyncio.get_running_loop().create_future()
            try:
                self._keep(key, kind, stored(kind, await self._submit(kind, request)))
            finally:
                self._under_way.pop(key).set_result(None)
        # Also of a new one, so that nothing depends on which session asked.
        return restored(*self._known[key], self._corpus)

    def _keep(self, key: str, kind: str, result: Any) -> None:
        row = json.dumps({"key": key, "kind": kind, "result": result}).encode()
        line = f"{zlib.crc32(row):0{_CRC_DIGITS}x} ".encode() + row + b"\n"
        assert self._file is not None  # nothing is asked before it is opened
        with writing(self.path):
            left = memoryview(line)
            while left:  # a file without a buffer may take a part
                left = left[self._file.write(left) or 0 :]
            if monotonic() - self._synced > FSYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = monotonic()
        self._know(key, kind, json.loads(row)["result"])

    def _know(self, key: str, kind: str, result: dict[str, Any]) -> None:
        self._known[key] = kind, result
        self.counts.add(kind, result)


def _whole_lines(data: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Lines with what they hold, up to the first that is not as it was written."""
    for line in BytesIO(data):
        crc, row = line[:_CRC_DIGITS], line[_CRC_DIGITS + 1 : -1]
        if not line.endswith(b"\n") or crc != f"{zlib.crc32(row):0{_CRC_DIGITS}x}".encode():
            return
        yield line, json.loads(row)


def _sum(total: int | None, count: int | None) -> int | None:
    return None if total is None or count is None else total + count
