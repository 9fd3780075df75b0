"""Kills runs in forked children; called as a program so that no thread is forked with them.

``python -m tests.harness.runs.killing moments|writes|flaky|again FOLDER`` prints how many children
were killed before their run was complete and how far those had come.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _pytest.monkeypatch import MonkeyPatch

from harness.errors import UnansweredError
from harness.llm.requests import GenerateRequest
from harness.runs.execute import execute
from tests.harness.lab import CountingModel, Remember, make_plan, quiet, without_torch, write_task

QUESTIONS = {"moments": 200, "writes": 48, "flaky": 24, "again": 24}
MOMENTS = 6
Run = Callable[[Path, Path], None]
ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT


def run(files: Path, out: Path, model: CountingModel | None = None) -> None:
    """Questions in batches of eight that take 2 ms, a memory, four timed queries."""
    plan = make_plan(files, Remember(), queries=4, window=8)
    execute(plan, out, model or CountingModel(seconds=0.002), None, quiet())


def run_flaky(files: Path, out: Path) -> None:
    """The same with a server that leaves a quarter of the questions unanswered."""

    def fail(request: GenerateRequest) -> None:
        if zlib.crc32(str(request.prompt).encode()) % 4 == 0:
            raise UnansweredError("503")

    run(files, out, CountingModel(fail))


def child(work: Callable[[], None]) -> int:
    """Start ``work`` in a child process."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print("child failed:", repr(error), file=sys.stderr)
            os._exit(1)
    return pid


def end(pid: int) -> int:
    """Exit status of a child: 0, 1, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_at_moments(files: Path, folder: Path) -> list[int]:
    """Kill at random moments, continue, and return how many answers each killed run had."""
    rng, reached = random.Random(7), []
    for number in range(MOMENTS):
        out = folder / f"killed-{number}"
        pid = child(lambda out=out: run(files, out))
        # By progress, not by the clock: on a busy machine no time would fall into the run.
        wait_for(out, rng.randrange(QUESTIONS["moments"]), pid)
        time.sleep(rng.random() * 0.005)
        os.kill(pid, signal.SIGKILL)
        if end(pid) == -signal.SIGKILL:
            reached.append(answered(out))
        assert end(child(lambda out=out: run(files, out))) == 0
    return reached


def wait_for(out: Path, answers: int, pid: int) -> None:
    """Until a child's run has so many answers, or the child has ended."""
    while answered(out) < answers and os.waitid(os.P_PID, pid, ENDED) is None:
        time.sleep(0.001)


def kill_at_writes(
    files: Path, folder: Path, first: Run | None = None, killed: Run = run, step: int = 1
) -> list[int]:
    """Kill just before and just after each file is put in place, and continue.

    ``first`` is a session that is not killed, ``killed`` the one that is; of the files every
    ``step``-th.
    """
    reached: list[int] = []
    for after in (False, True):
        for number in range(1, 100, step):
            out = folder / f"killed-{number}-{after}"
            if first is not None:
                assert end(child(lambda out=out: first(files, out))) == 0
            work = partial(dying_run, killed, files, out, number, after)
            status = end(child(work))
            if status == -signal.SIGKILL:
                reached.append(answered(out))
            assert end(child(lambda out=out: run(files, out))) == 0
            if status == 0:
                break
            assert status == -signal.SIGKILL, status
    return reached


def dying_run(work: Run, files: Path, out: Path, number: int, after: bool) -> None:
    """A run that is killed at its ``number``-th atomic write."""
    replace, count = os.replace, 0

    def dying(source: str, target: Path) -> None:
        nonlocal count
        count += 1
        if count == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = dying  # type: ignore[assignment]
    work(files, out)


def answered(out: Path) -> int:
    """Whole lines of the one run below ``out``."""
    # Not every folder below: those of the write phase come and go.
    paths = out.glob("toy/remember/*/predictions.jsonl")
    return sum(path.read_bytes().count(b"\n") for path in paths)


if __name__ == "__main__":
    without_torch(MonkeyPatch())
    folder = Path(sys.argv[2])
    files = write_task(folder / "files", QUESTIONS[sys.argv[1]])
    # The end of a process loses nothing that the system was given, so nobody waits for the disk.
    os.fsync = lambda _: None  # type: ignore[assignment]
    # In this process, so that each child finds imported what a run needs.
    run(files, folder / "whole")
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()  # the children need not look through what was there before them
    kill = {
        "moments": kill_at_moments,
        "writes": kill_at_writes,
        "flaky": partial(kill_at_writes, killed=run_flaky, step=4),
        "again": partial(kill_at_writes, first=run_flaky, step=4),
    }[sys.argv[1]]
    print(*kill(files, folder))
