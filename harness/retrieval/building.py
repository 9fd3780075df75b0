"""Building of an index: by one process at a time, and how long it took, noted in the cache."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from harness.errors import InputError
from harness.files import read_json, remove_leftovers, write_json, writing
from harness.retrieval.base import Built, Progress
from harness.sealed import check_sealed


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


def in_turn(folder: Path, make: Callable[[Path], Built]) -> Built | None:
    """``make`` the sealed ``folder``; None if another process has made it when its turn comes.

    It is given a folder of its own to work in, which goes when the index is there; of a building
    that was killed, what was whole is still in it.
    """
    from filelock import FileLock

    work = work_of(folder)
    with writing(folder):
        work.mkdir(exist_ok=True)
        # Released before the folder goes; a process that waited finds the index.
        with FileLock(work / ".lock"):
            built = None
            if not _is_there(folder):
                remove_leftovers(work)
                built = make(work)
        shutil.rmtree(work, ignore_errors=True)
    return built


def work_of(folder: Path) -> Path:
    """Where an index is built; a building that was killed at its end may have left it."""
    return folder.with_suffix(".building")


def _is_there(folder: Path) -> bool:
    try:
        check_sealed(folder)
    except (FileNotFoundError, InputError):
        return False
    return True
