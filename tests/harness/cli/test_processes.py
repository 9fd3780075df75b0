"""What only shows in a process of its own: imports, Ctrl-C, two runs at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.runs.directory import find_runs
from tests.harness.conftest import CommandLine
from tests.harness.lab import write_task

QUESTIONS = 200
"""More than are asked at once."""
# The signal: nohup, a shell's "&" and some CI runners leave it ignored, and children inherit that.
START = """
import os, signal, sys, time
HELD = {held!r}
signal.signal(signal.SIGINT, signal.default_int_handler)
from _pytest.monkeypatch import MonkeyPatch
import harness.cli.main, harness.llm.open
from tests.harness.lab import CountingModel, without_torch
class Held(CountingModel):
    def generate(self, requests):
        while self.calls and os.path.exists(HELD):
            time.sleep(0.01)
        return super().generate(requests)
without_torch(MonkeyPatch())
harness.llm.open.open_model = lambda *_, **__: Held()
harness.cli.main.main()
"""
NAMES = """
import sys
from harness.cli.main import main
for line in sys.argv[1:]:
    sys.argv[1:] = line.split()
    try:
        main()
    except SystemExit as stopped:
        heavy = {"torch", "transformers", "lm_eval", "faiss", "sentence_transformers", "datasets"}
        print(f"\\nafter {line}: code {stopped.code} heavy {sorted(heavy & set(sys.modules))}")
"""


def start(arguments: list[object]) -> subprocess.Popen[str]:
    """A run that begins no second batch while a file ``held`` lies beside its folder."""
    held = Path(str(arguments[-1])).with_name("held")
    command = [sys.executable, "-c", START.format(held=str(held)), *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors.splitlines()


def wait_for_answers(out: Path) -> None:
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in out.rglob("predictions.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def arguments(tmp_path: Path) -> list[object]:
    files = write_task(tmp_path / "files", QUESTIONS)
    return [
        "run", "--method", "no-retrieval", "--task", "toy", "--latency-queries", "2", "-p",
        "shots=0", "--questions", files / "questions.jsonl", "--corpus", files / "corpus.jsonl",
        "--device", "cpu", "--out", tmp_path / "runs",
    ]  # fmt: skip


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """As long as this file is there, a run answers no more than one batch."""
    path = tmp_path / "held"
    path.touch()
    return path


def loads_no_heavy_library(*lines: str) -> None:
    """Command lines, one after the other in one process, that each ends well."""
    command = [sys.executable, "-c", NAMES, *lines]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=60)
    told = [line for line in done.stdout.splitlines() if " heavy [" in line]
    assert told == [f"after {line}: code 0 heavy []" for line in lines]


def test_looking_things_up_loads_no_heavy_library() -> None:
    loads_no_heavy_library("--help", "list methods", "list tasks", "list models", "list encoders",
                           "list boards", "describe bm25")  # fmt: skip


def test_a_finished_run_loads_no_heavy_library(arguments, cli: CommandLine, tmp_path: Path) -> None:
    assert cli(*arguments).code == 0
    run, before = " ".join(map(str, arguments)), of_children()
    loads_no_heavy_library(
        run, *(f"{name} {tmp_path / 'runs'}" for name in ("score", "leaderboard"))
    )
    assert of_children() - before < 15


def of_children() -> float:
    """Seconds of a processor that ended processes took, on a busy machine as on an idle one."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.slow
def test_interrupted_runs_continue(arguments, held: Path, cli: CommandLine, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    process = start(arguments)
    wait_for_answers(out)
    os.kill(process.pid, signal.SIGINT)
    code, errors = finish(process)
    held.unlink()
    assert code == 130
    assert errors[-1] == "stopped; the same command continues where it was"
    assert not any("Traceback" in line for line in errors)
    (folder,) = find_runs(out)
    answered = (folder / "predictions.jsonl").read_bytes().count(b"\n")
    assert 0 < answered < QUESTIONS
    done = cli(*arguments)
    assert done.code == 0
    (whole,) = find_runs(out)
    assert (whole / "predictions.jsonl").read_bytes().count(b"\n") == QUESTIONS
    assert f"{QUESTIONS}/{QUESTIONS}" in done.err


@pytest.mark.slow
def test_two_processes_never_write_the_same_run(
    arguments, held: Path, cli: CommandLine, tmp_path: Path
) -> None:
    first = start(arguments)
    wait_for_answers(tmp_path / "runs")
    line = cli.refuses(*arguments)
    held.unlink()
    assert "another process is writing this run; wait for it or stop it" in line
    assert finish(first)[0] == 0
    (folder,) = find_runs(tmp_path / "runs")
    assert (folder / "predictions.jsonl").read_bytes().count(b"\n") == QUESTIONS
