"""Carried memories: what a method wrote, in pieces on its way from one machine to another."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harness.errors import RunFailedError
from harness.files import locked, writing
from harness.runs.write_phase import is_written

PIECE = 2**20
LAST = "write.json"
"""The file that makes a memory complete."""

Piece = tuple[str, bytes]
"""A file of the memory's folder, by its relative path, and what comes next of it."""


def pieces(place: Path) -> Iterator[Piece]:
    """A written memory, in pieces of at most ``PIECE`` bytes; the last is all of ``LAST``."""
    memory = place / "memory"
    for path in sorted(path for path in memory.rglob("*") if path.is_file()):
        name, held = path.relative_to(place).as_posix(), b""
        with path.open("rb") as file:
            yield name, file.read(PIECE)
            while held := file.read(PIECE):
                yield name, held
    yield LAST, (place / LAST).read_bytes()


class Arriving:
    """A memory that comes in pieces; its place is as it was until the last one is there."""

    def __init__(self, place: Path) -> None:
        self.place, self._stage = place, place.with_name(f".{place.name}.arriving")
        self.drop()

    def take(self, piece: Piece) -> bool:
        """Keep a piece; whether that was the last. Raises RunFailedError for a path outside."""
        name, data = piece
        parts = PurePosixPath(name).parts
        if name != LAST and (parts[:1] != ("memory",) or ".." in parts):
            raise RunFailedError(f"{self.place}: a worker sent the file {name!r}; nothing is kept")
        with writing(self._stage):
            path = self._stage / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(data)
        if name == LAST:
            self._settle()
        return name == LAST

    def drop(self) -> None:
        """Forget what has come."""
        shutil.rmtree(self._stage, ignore_errors=True)

    def _settle(self) -> None:
        with writing(self.place):
            self.place.mkdir(parents=True, exist_ok=True)
            (self._stage / "memory").mkdir(exist_ok=True)
        with locked(self.place, "memory"), writing(self.place):
            if not is_written(self.place):
                shutil.rmtree(self.place / "memory", ignore_errors=True)
                (self._stage / "memory").rename(self.place / "memory")
                (self._stage / LAST).rename(self.place / LAST)
        self.drop()
