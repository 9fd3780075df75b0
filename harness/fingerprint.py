"""Canonical hashes: the same meaning gives the same hash on every machine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from heapq import nsmallest
from pathlib import Path
from time import time
from typing import Any, TypeVar

from harness.files import atomic_file, cache_dir

Item = TypeVar("Item")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, no NaN: equal values give equal text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def fingerprint(value: Any) -> str:
    """SHA-256 (hex, 64 digits) of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def fingerprint_lines(values: Iterable[Any]) -> str:
    """SHA-256 of a stream of JSON values, one a line, in constant memory."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(canonical_json(value).encode() + b"\n")
    return digest.hexdigest()


def sample_by_hash(items: Iterable[Item], count: int, name: Callable[[Item], str]) -> list[Item]:
    """The ``count`` items whose names have the smallest SHA-256, smallest first.

    A fixed random sample; of the same items, a larger one begins with a smaller one.
    """
    return nsmallest(count, items, key=lambda item: hashlib.sha256(name(item).encode()).digest())


def folder_fingerprint(path: Path, only: Collection[str] | None = None) -> str:
    """SHA-256 over the relative names and the contents of all files below a folder.

    Hidden files are left out: downloaders and editors keep notes of their own in them. ``only``
    names the files and folders directly in it that count; None counts all.
    """
    names = {file.relative_to(path): file for file in path.rglob("*") if file.is_file()}
    shown = {
        name.as_posix(): file
        for name, file in names.items()
        if not any(part.startswith(".") for part in name.parts)
        and (only is None or name.parts[0] in only)
    }
    return fingerprint_lines([name, file_sha256(shown[name])] for name in sorted(shown))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_sha256(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by their path relative to ``folder``, in the order of their paths."""
    return {
        file.relative_to(folder).as_posix(): known_sha256(file)
        for file in sorted(files)
        if file.is_file()
    }


_known: dict[tuple[int, ...], str] = {}
_NOTED_FROM = 2**26
"""Bytes of a file that takes seconds to read."""
_SETTLED = 2.0
"""Seconds after which a file's times tell its content from any later one."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


def known_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read once in a process unless the file was written meanwhile."""
    state = _state(path)
    if state not in _known:
        _known[state] = file_sha256(path)
    return _known[state]


def kept_sha256(path: Path) -> str:
    """``known_sha256``; of a large file noted in the cache, for as long as nobody writes to it."""
    state = _state(path)
    if state[2] < _NOTED_FROM:
        return known_sha256(path)
    note = cache_dir("sha256") / fingerprint(state)[:32]
    with suppress(OSError):
        if _SHA256.fullmatch(noted := note.read_text(encoding="ascii", errors="replace")):
            return noted
    sha256 = known_sha256(path)
    # Whoever writes twice within a tick of the clock leaves the same times behind.
    if _state(path) == state and time() - max(state[3:]) / 1e9 > _SETTLED:
        with atomic_file(note) as file:
            file.write(sha256.encode())
    return sha256


def _state(path: Path) -> tuple[int, ...]:
    """Which file it is, its bytes, and when it was written."""
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
