"""Canonical hashes: the same meaning gives the same hash on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from heapq import nsmallest
from pathlib import Path
from typing import Any, TypeVar

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


_known: dict[tuple[int, int], tuple[tuple[int, ...], str]] = {}


def known_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read once in a process unless the file was written meanwhile."""
    stat = path.stat()
    file, state = (stat.st_dev, stat.st_ino), (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    before, sha256 = _known.get(file, (None, ""))
    if before != state:
        sha256 = file_sha256(path)
        _known[file] = (state, sha256)
    return sha256
