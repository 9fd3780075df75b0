"""A board on a real Ray cluster of two workers, on this machine (``make test-ray``).

No part of the ordinary suite: Ray is an extra, and its own processes need several seconds to start
and limits that it keeps by the clock.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Lock

import psutil
import pytest
import yaml

from harness.boards.file import read_board
from harness.boards.whole import run_whole
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from tests.harness.lab import quiet, write_task
from tests.stub import Stub, Words

pytest.importorskip("ray")

QUESTIONS, BEFORE = 48, 20
SAME = ("predictions.jsonl", "scores.jsonl", "questions-*.jsonl")
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
WAIT = 240.0
"""Seconds that a busy machine may take for what takes a few."""


class Gate:
    """Words of a server that answers so many prompts, then none until it is opened."""

    def __init__(self) -> None:
        self.questions: Counter[str] = Counter()
        self.opened, self._lock = Event(), Lock()

    def __call__(self, prompt: str) -> str:
        with self._lock:
            self.questions[prompt] += "How is number" in prompt  # others look what a server can
            waits = self.questions.total() > BEFORE
        if waits:
            self.opened.wait(WAIT)
        return prompt.split()[-3]


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Ray's files in a folder whose name is short enough for sockets, its token in no home."""
    folder = tempfile.mkdtemp(prefix="mh-", dir="/tmp")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    yield {**kept, "RAY_TMPDIR": folder, "HOME": str(tmp_path)}
    shutil.rmtree(folder, ignore_errors=True)


def make_board(folder: Path, url: str) -> Path:
    write_task(folder / "toy", QUESTIONS)
    files = {name: f"toy/{name}.jsonl" for name in ("questions", "corpus", "train")}
    values = {
        "name": "small",
        "tasks": [{"name": "toy", "files": files}],
        "methods": ["no-retrieval", "bm25"],
        "models": [f"openai:m@{url}"],
        "timings": False,
        "workers": 2,
        "resources": {"cpus": 1, "memory": "200MB"},
    }
    path = folder / "board.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def until(true: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end
        if process.poll() is not None:
            pytest.fail(f"it ended with {process.returncode}: {process.communicate()[1]}")
        time.sleep(0.05)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    every = psutil.Process(process.pid).children(recursive=True)
    return [each for each in every if "ray::RemoteWorker" in " ".join(each.cmdline())]


def rows(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.rglob("predictions.jsonl"))


def same_files(root: Path) -> dict[str, bytes]:
    found = [path for name in SAME for path in root.rglob(name)]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def listening(process: subprocess.Popen[str]) -> set[str]:
    """Addresses at which any process of the cluster takes connections."""
    found = set()
    for each in psutil.Process(process.pid).children(recursive=True):
        for connection in each.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.add(connection.laddr.ip)
    return found


def start(board: Path, out: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "run", str(board), "--out", str(out), "--on", "ray"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_worker_that_is_killed_half_way_changes_no_byte(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    alone, out, gate = tmp_path / "alone", tmp_path / "out", Gate()
    with Stub(Words(gate)) as server:
        board = make_board(tmp_path, server.url)
        with start(board, out, environment) as process:
            try:
                until(lambda: gate.questions.total() > BEFORE and rows(out) >= BEFORE // 2, process)
                kept, workers = rows(out), workers_of(process)
                assert len(workers) == 2 and kept < 2 * QUESTIONS
                assert listening(process) <= LOOPBACK and listening(process)
                os.kill(workers[0].pid, signal.SIGKILL)
                gate.opened.set()
                _, told = process.communicate(timeout=WAIT)
            finally:
                gate.opened.set()
                process.kill()
        asked = Counter(gate.questions)
        run_whole(
            read_board(str(board)).model_copy(update={"workers": 1}), alone, quiet(), device="cpu"
        )
    assert process.returncode == 0, told
    assert re.search(r"worker is gone, \d+ questions go to another", told)
    assert same_files(out) == same_files(alone) and len(same_files(out)) == 5
    assert len(+asked) == 2 * QUESTIONS
    assert asked.total() - len(+asked) <= 16, "what was told before the kill is not asked again"
    for folder in find_runs(out):
        answered_on = read_manifest(folder).answered_on
        assert answered_on is not None and re.match(r"ray \d", answered_on.by)
        assert sum(answered_on.machines.values()) == QUESTIONS
        assert read_performance(folder).latency is None


def test_an_interrupt_ends_the_cluster_and_the_run_goes_on_here(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    alone, out, gate = tmp_path / "alone", tmp_path / "out", Gate()
    with Stub(Words(gate)) as server:
        board = make_board(tmp_path, server.url)
        with start(board, out, environment) as process:
            try:
                until(lambda: gate.questions.total() > BEFORE and rows(out) >= BEFORE // 2, process)
                processes = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGINT)
                _, told = process.communicate(timeout=WAIT)
            finally:
                gate.opened.set()
                process.kill()
        assert process.returncode == 130, told
        assert "the same command continues where it was" in told
        assert not psutil.wait_procs(processes, timeout=WAIT / 4)[1]
        kept = rows(out)
        assert kept >= BEFORE // 2
        gate.questions.clear()
        own = read_board(str(board)).model_copy(update={"workers": 1})
        run_whole(own, out, quiet(), device="cpu")
        assert gate.questions.total() == 2 * QUESTIONS - kept
        run_whole(own, alone, quiet(), device="cpu")
    assert same_files(out) == same_files(alone)
