"""The rule of a reader: it returns or raises a HarnessError of one line, soon, in bounded memory.

No file that was there before is lost or changed, but those that a reader is for writing, and only
when it returns.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from types import FrameType
from typing import Any

import harness
from harness.errors import HarnessError
from harness.escape import visible
from tests.fuzz.mutations import Files

SECONDS = 5.0
"""Of the processor's time, which other programs on the machine do not lengthen."""
BYTES = 4 * 2**30
"""More than this a case may not map; libraries reserve a gigabyte at a time without using it."""
LONGEST = 20_000
"""Characters of a message: more than that is a file's content and no explanation."""
_OURS = Path(harness.__file__).parents[1]


@dataclass(frozen=True)
class Reader:
    """A reader by its name: seeds that it reads gladly, and how it is called with their folder."""

    name: str
    seeds: Callable[[], Sequence[Files]]
    read: Callable[[Path], object]
    writes: tuple[str, ...] = ()
    """Patterns of files that it may change when it returns."""
    share: float = 1.0
    """Of the cases asked for: less for one that takes long."""
    reads_seeds: bool = True
    """False where several readers take the same, and not all of them read it."""


@dataclass(frozen=True)
class Failure:
    """How a case broke the rule."""

    what: str
    """The same for all cases that break it in the same place."""
    told: str


class _Endless(BaseException):
    """No Exception, so that no reader's own handler takes it for a damaged file."""


def broken(reader: Reader, files: Files, place: Path) -> Failure | None:
    """How a reader breaks the rule with these files, if it does; ``place`` is an empty folder."""
    folder = place / "case"
    folder.mkdir()
    write(files, folder)
    before = contents(folder)
    os.environ["MEMORY_HARNESS_CACHE"] = str(place / "cache")
    returned = False
    try:
        with _limits():
            reader.read(folder)
        returned = True
    except HarnessError as error:
        failure = _of_message(str(error))
    except (_Endless, Exception) as error:
        failure = _of_error(error)
    else:
        failure = None
    failure = failure or _of_files(before, contents(folder), reader.writes if returned else ())
    shutil.rmtree(folder)
    shutil.rmtree(place / "cache", ignore_errors=True)
    return failure


def each(*calls: Callable[[], object]) -> None:
    """Make every call, though an earlier one refuses; the worst refusal is raised at the end."""
    refusals: list[HarnessError] = []
    for call in calls:
        try:
            call()
        except HarnessError as error:
            refusals.append(error)
    if refusals:
        raise max(refusals, key=lambda error: _of_message(str(error)) is not None)


def write(files: Files, folder: Path) -> None:
    """Write the files of a case."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def contents(folder: Path) -> Files:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _of_message(message: str) -> Failure | None:
    shown = visible(message)
    if "\n" in message or not shown.isprintable():
        return Failure("a message of several lines", shown[:500])
    if len(message) > LONGEST:
        return Failure("a message of a file's length", shown[:200])
    return None


def _of_error(error: BaseException) -> Failure:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_ours(f.filename)]
    last = frames[-1] if frames else None
    where = f"{Path(last.filename).relative_to(_OURS)}:{last.name}" if last else "?"
    return Failure(f"{type(error).__name__} in {where}", visible(f"{where}: {error}")[:500])


def _is_ours(file: str) -> bool:
    return file.startswith(str(_OURS)) and "/tests/" not in file and "/.venv/" not in file


def _of_files(before: Files, after: Files, writes: Sequence[str]) -> Failure | None:
    for name, content in before.items():
        if after.get(name) != content and not any(fnmatch(name, pattern) for pattern in writes):
            how = "changed" if name in after else "lost"
            return Failure(f"a file is {how}", name)
    return None


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise _Endless(f"not done after {SECONDS} s")


@contextmanager
def _limits() -> Iterator[None]:
    """An alarm after ``SECONDS`` of the processor's time, and at most ``BYTES`` more mapped."""
    handler: Any = signal.signal(signal.SIGPROF, _raise)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGPROF, handler)
