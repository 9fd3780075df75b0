"""Faults met: an act that is killed, or finds the disk full, at a change of a file, and goes on.

Everything is forked from a process that has imported what a first, whole run of the act imported;
it never computes itself, since torch trains in no child of a process that trained.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import io
import json
import os
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import harness.cli.main
from tests.harness.faults.acts import ACTS, Act, filled

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "os.chmod"}
MAKES = {"open", "os.mkdir", "os.link"}
SECONDS = re.compile(rb'"seconds": [\d.]+')
CURVES = {
    "curves.csv": re.compile(rb",[\d.]+$", re.MULTILINE),
    "checkpoint.json": re.compile(rb",\s+[\d.]+\s+\]"),
}
"""The last of a point's numbers: seconds of training so far."""
SEGMENT = re.compile(r"bank-[0-9a-f]{32}")
"""A segment of a memory bank, named at random, so that writers never meet."""
How = Literal["killed", "full"]
FAULTS: tuple[How, ...] = ("killed", "full")


@dataclass(frozen=True, slots=True)
class Met:
    """A fault at an act's change of a file, and what was wrong then; empty if nothing was."""

    act: str
    how: How
    number: int
    file: str
    wrong: str


class Lab:
    """A folder with what the acts read, and the place where they write."""

    def __init__(self, files: Path, folder: Path) -> None:
        self.files, self.here, self._before = files, folder / "here", folder / "before"

    def meet(self, name: str, points: int) -> Iterator[Met]:
        """An act that meets each fault at so many of its changes, spread evenly; all if less."""
        act = ACTS[name]
        self._prepare(act)
        changes = self._whole(act)
        whole = contents(self.here)
        for number in spread(len(changes), points):
            for how in FAULTS:
                self._restore()
                wrong = self._wrong(act, how, number) or different(contents(self.here), whole)
                yield Met(name, how, number, changes[number - 1], wrong)

    def _prepare(self, act: Act) -> None:
        for folder in (self.here, self._before):
            shutil.rmtree(folder, ignore_errors=True)
        self.here.mkdir()
        if act.before:
            self._in_child(lambda: self._do(act.before))
        shutil.copytree(self.here, self._before)

    def _whole(self, act: Act) -> list[str]:
        """The files that the act changes, in order; imports in this process what it imported."""

        def whole() -> tuple[list[str], list[str]]:
            seen = at_change(sys.maxsize, self.here, "killed")
            self._do(act.commands)
            return seen, list(sys.modules)

        seen, modules = self._in_child(whole)
        for module in modules:
            with contextlib.suppress(ImportError):  # a few are no modules of a file
                importlib.import_module(module)
        assert threading.active_count() == 1, threading.enumerate()
        gc.collect()
        gc.freeze()  # the children need not look through what was there before them
        return seen

    def _restore(self) -> None:
        shutil.rmtree(self.here)
        shutil.copytree(self._before, self.here)

    def _wrong(self, act: Act, how: How, number: int) -> str:
        """What was wrong with how the act ended at the fault, or when it went on."""

        def faulty() -> tuple[int, str]:
            at_change(number, self.here, how)
            return self._status(act.commands)

        status, said = child(faulty)
        if how == "killed" and status != -signal.SIGKILL:
            return f"it was not killed but ended with {status}: {said}"
        if how == "full" and (status or not is_told(*json.loads(said))):
            return f"on a full disk it ended with {said}"
        status, said = child(lambda: self._status(act.commands))
        return "" if (status, json.loads(said)) == (0, [0, ""]) else f"it went on to {said}"

    def _do(self, commands: tuple[str, ...]) -> None:
        code, said = self._status(commands)
        assert code == 0, said

    def _status(self, commands: tuple[str, ...]) -> tuple[int, str]:
        """All commands, here; the first exit status that is not 0, and what was said."""
        os.environ["MEMORY_HARNESS_CACHE"] = str(self.here / "cache")
        for command in commands:
            said = io.StringIO()
            sys.argv[1:] = filled(command, self.files, self.here)
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                try:
                    harness.cli.main.main()
                except SystemExit as ended:
                    code = int(ended.code or 0)
            if code:
                return code, said.getvalue()
        return 0, ""

    def _in_child(self, work: Callable[[], object]) -> Any:
        status, said = child(work)
        assert status == 0, said
        return json.loads(said)


def spread(most: int, points: int) -> list[int]:
    """So many of the numbers from 1 to the most, evenly; all if there are no more."""
    if points >= most:
        return list(range(1, most + 1))
    return [1 + most * (2 * n + 1) // (2 * points) for n in range(points)]


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, of what may not depend on time; empty folders, too."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = SEGMENT.sub("bank", str(path.relative_to(folder)))
        found[name] = "" if path.is_dir() else sha256(untimed(path)).hexdigest()
    return found


def untimed(path: Path) -> bytes:
    """What a file holds, without the seconds that something took and random names."""
    content = path.read_bytes()
    if path.name in CURVES:
        content = CURVES[path.name].sub(b"", content)
    if path.suffix == ".json":
        content = re.sub(SEGMENT.pattern.encode(), b"bank", SECONDS.sub(b"", content))
    return content


def different(one: dict[str, str], other: dict[str, str]) -> str:
    """Names that only one of two folders has, or both with other contents."""
    names = sorted({name for name, _ in one.items() ^ other.items()})
    kinds = {(True, False): "left over", (False, True): "missing", (True, True): "other bytes"}
    return ", ".join(f"{kinds[name in one, name in other]}: {name}" for name in names)


def is_told(code: int, said: str) -> bool:
    """Whether a command did without what it could not write, or said in a line what to do."""
    if "Traceback" in said:
        return False
    line = said.splitlines()[-1] if said else ""
    told = line.startswith("error: /") and "No space left on device" in line and "; " in line
    return code == 0 or (code == 2 and told)


def at_change(number: int, root: Path, how: How) -> list[str]:
    """Have a fault come at the ``number``-th change of a file in a folder; lists them.

    A disk that is full stays so, for everything that takes room.
    """
    seen, prefix = list[str](), f"{root}/"

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if not (event in CHANGES or (event == "open" and _writes(arguments))):
            return
        path = str(arguments[0])
        if not path.startswith(prefix):
            return
        seen.append(path.removeprefix(prefix))
        if len(seen) == number and how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if len(seen) >= number and how == "full" and event in MAKES:
            raise OSError(errno.ENOSPC, "No space left on device", path)

    sys.addaudithook(hook)
    return seen


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def child(work: Callable[[], object]) -> tuple[int, str]:
    """Exit status of work in a child, and what it said as JSON."""
    heard, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said, code = json.dumps(work()), 0
        except BaseException:
            said, code = traceback.format_exc(), 1
        with open(tell, "wb") as pipe:  # noqa: PTH123 (a descriptor)
            pipe.write(said.encode())
        os._exit(code)
    os.close(tell)
    with open(heard, "rb") as pipe:  # noqa: PTH123 (a descriptor)
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said
