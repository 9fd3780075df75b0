"""A user's commands, killed or met by a full disk at any change of a file; called as a program.

``python -m tests.harness.faults.acts killed|full FOLDER POINTS`` prints a JSON list: of each point
how the commands ended there. It forks, so that each child finds imported what a run needs.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from _pytest.monkeypatch import MonkeyPatch
from tqdm import tqdm

import harness.cli.main
import harness.llm.open
import leaderboards.commands  # noqa: F401 (imported before the forks)
from tests.harness.lab import CountingModel, without_torch, write_task

QUESTIONS = 12
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "os.chmod"}
Fault = Callable[[str], None]


def commands(files: Path, out: Path) -> list[list[str]]:
    """Runs with an index and a memory, scored, and told in every way."""
    task = ["--task", "toy", "--questions", files / "questions.jsonl", "--train",
            files / "train.jsonl", "--corpus", files / "corpus.jsonl"]  # fmt: skip
    fast = ["--latency-queries", "2", "--device", "cpu", "--out", out / "runs"]
    runs = str(out / "runs")
    return [
        [str(each) for each in ("run", "--method", "bm25", "-p", "shots=1", *task, *fast)],
        [str(each) for each in ("run", "--method", "packed-text", *task, *fast)],
        ["score", runs],
        ["leaderboard", runs, "-o", str(out / "board.html")],
        ["leaderboard", runs, "-o", str(out / "board.csv")],
        ["pack", runs, "--out", str(out / "runs.tar.zst")],
        ["unpack", str(out / "runs.tar.zst"), "--out", str(out / "again")],
    ]


def act(files: Path, out: Path) -> tuple[int, str]:
    """All commands in this process; the first exit status that is not 0, and what was said."""
    os.environ["MEMORY_HARNESS_CACHE"] = str(out / "cache")
    shutil.rmtree(out / "again", ignore_errors=True)
    for command in commands(files, out):
        said = io.StringIO()
        sys.argv[1:] = command
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                harness.cli.main.main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        if code:
            return code, said.getvalue()
    return 0, ""


def at_change(number: int, root: Path, fault: Fault) -> list[int]:
    """Have a fault come at the ``number``-th change of a file in a folder; counts them."""
    seen, prefix = [0], str(root)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if not (event in CHANGES or (event == "open" and _writes(arguments))):
            return
        if str(arguments[0]).startswith(prefix):
            seen[0] += 1
            if seen[0] == number:
                fault(str(arguments[0]))

    sys.addaudithook(hook)
    return seen


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def kill(path: str) -> None:
    """End this process as the machine does that runs out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill(path: str) -> None:
    """Have no room on the disk."""
    raise OSError(errno.ENOSPC, "No space left on device", path)


FAULTS = {"killed": kill, "full": fill}


def child(work: Callable[[], object]) -> tuple[int, str]:
    """Exit status of work in a child, and what it said as JSON."""
    heard, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(tell, json.dumps(work()).encode())
            os._exit(0)
        except BaseException as error:
            print("child failed:", repr(error), file=sys.stderr)
            os._exit(1)
    os.close(tell)
    with open(heard, "rb") as pipe:  # noqa: PTH123 (a descriptor)
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


def meet(how: str, files: Path, folder: Path, points: Sequence[int]) -> list[list[object]]:
    """Commands that meet the fault at each point, then go on; how they ended there."""
    ended: list[list[object]] = []
    for number in points:
        out = folder / f"{how}-{number}"

        def faulty(number: int = number, out: Path = out) -> tuple[int, str]:
            at_change(number, out, FAULTS[how])
            return act(files, out)

        status, said = child(faulty)
        after, said_after = child(lambda out=out: act(files, out))
        ended.append([number, status, said, after, said_after])
    return ended


def count(files: Path, out: Path) -> int:
    """Changes of files in commands that meet no fault."""

    def counted() -> int:
        seen = at_change(0, out, kill)
        code, said = act(files, out)
        assert code == 0, said
        return seen[0]

    status, said = child(counted)
    assert status == 0
    return int(said)


def main() -> None:
    """Meet faults at points that are spread evenly over all changes."""
    how, folder, points = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    without_torch(MonkeyPatch())
    harness.llm.open.open_model = lambda *_, **__: CountingModel()  # type: ignore[assignment]
    # The end of a process loses nothing that the system was given, so nobody waits for the disk.
    os.fsync = lambda _: None  # type: ignore[assignment]
    tqdm.monitor_interval = 0  # its thread would be forked
    files = write_task(folder / "files", QUESTIONS)
    code, said = act(files, folder / "warm")
    assert code == 0, said
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()
    whole = count(files, folder / "whole")
    chosen = sorted({1 + (whole - 1) * n // (points - 1) for n in range(points)})
    print(json.dumps([whole, meet(how, files, folder, chosen)]))


if __name__ == "__main__":
    main()
