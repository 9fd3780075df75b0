"""Building of an index: how long it took, noted in the cache for sessions that find it there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from harness.errors import InputError
from harness.files import read_json, write_json
from harness.retrieval.base import Built, Progress


@dataclass(frozen=True, slots=True)
class Note:
    """Passages that were indexed and the seconds it took, in all sessions that built."""

    passages: int = 0
    seconds: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Note:
        """What was noted; nothing where the note is missing or damaged, since it is no result."""
        try:
            values = read_json(path)
            return cls(int(values["passages"]), float(values["seconds"]))
        except (InputError, KeyError, TypeError, ValueError):
            return cls()

    def write(self, path: Path) -> None:
        """Replace the note."""
        write_json(path, {"passages": self.passages, "seconds": round(self.seconds, 3)})


class Clock:
    """A ``Progress`` that takes the time of building and notes it as passages are done."""

    def __init__(self, path: Path, passages: int, progress: Progress | None = None) -> None:
        self._path, self._passages, self._progress = path, passages, progress
        self._found: int | None = None
        self._start, self._now, self._before = perf_counter(), 0.0, Note()

    def __call__(self, done: int, total: int) -> None:
        """First with what the cache had, then with what is done."""
        if self._found is None:
            # Earlier sessions count where their work was found again.
            self._found, self._before = done, Note.read(self._path) if done else Note()
        else:
            self._now = perf_counter() - self._start
            # A note is made before what it is of is saved: a kill may have left it alone.
            passages = min(self._before.passages, self._found) + done - self._found
            Note(passages, self._before.seconds + self._now).write(self._path)
        if self._progress is not None:
            self._progress(done, total)

    def built(self) -> Built:
        """How the index came to be; without seconds where passages came from elsewhere."""
        note = Note.read(self._path)
        seconds = note.seconds if note.passages == self._passages else None
        return Built(self._found == self._passages, seconds, self._now)
