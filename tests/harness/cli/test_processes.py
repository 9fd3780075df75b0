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
from tests.harness.lab import write_task

# The signal: nohup, a shell's "&" and some CI runners leave it ignored, and children inherit that.
START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from _pytest.monkeypatch import MonkeyPatch
import harness.cli.main, harness.llm.open
from tests.harness.lab import CountingModel, without_torch
without_torch(MonkeyPatch())
harness.llm.open.open_model = lambda *_, **__: CountingModel(seconds={seconds})
harness.cli.main.main()
"""
NAMES = """
import sys
from harness.cli.main import main
try:
    main()
except SystemExit as stopped:
    heavy = {"torch", "transformers", "lm_eval", "faiss", "sentence_transformers", "datasets"}
    print("code", stopped.code, "heavy", sorted(heavy & set(sys.modules)))
"""


def start(arguments: list[object], seconds: float = 0.0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START.format(seconds=seconds), *map(str, arguments)]
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
    files = write_task(tmp_path / "files", 600)
    return [
        "run", "--method", "no-retrieval", "--task", "toy", "--latency-queries", "2", "-p",
        "shots=0", "--questions", files / "questions.jsonl", "--corpus", files / "corpus.jsonl",
        "--device", "cpu", "--out", tmp_path / "runs",
    ]  # fmt: skip


def modules(*arguments: object) -> str:
    command = [sys.executable, "-c", NAMES, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=60)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("command", ["--help", "list methods", "list tasks", "list models",
                                     "list encoders", "list boards", "describe bm25"])  # fmt: skip
def test_looking_things_up_loads_no_heavy_library(command: str) -> None:
    assert modules(*command.split()) == "code 0 heavy []"


def test_a_finished_run_loads_no_heavy_library(arguments, tmp_path: Path) -> None:
    assert finish(start(arguments))[0] == 0
    before = time.monotonic()
    assert modules(*arguments) == "code 0 heavy []"
    assert time.monotonic() - before < 15
    assert modules("score", tmp_path / "runs") == "code 0 heavy []"
    assert modules("leaderboard", tmp_path / "runs") == "code 0 heavy []"


@pytest.mark.slow
def test_interrupted_runs_continue(arguments, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    process = start(arguments, seconds=0.3)
    wait_for_answers(out)
    os.kill(process.pid, signal.SIGINT)
    code, errors = finish(process)
    assert code == 130
    assert errors[-1] == "stopped; the same command continues where it was"
    assert not any("Traceback" in line for line in errors)
    (folder,) = find_runs(out)
    answered = (folder / "predictions.jsonl").read_bytes().count(b"\n")
    assert 0 < answered < 600
    code, errors = finish(start(arguments))
    assert code == 0
    (whole,) = find_runs(out)
    assert (whole / "predictions.jsonl").read_bytes().count(b"\n") == 600
    assert any("600/600" in line for line in errors)


@pytest.mark.slow
def test_two_processes_never_write_the_same_run(arguments, tmp_path: Path) -> None:
    first = start(arguments, seconds=0.5)
    wait_for_answers(tmp_path / "runs")
    code, errors = finish(start(arguments))
    assert code == 2
    assert "another process is writing this run; wait for it or stop it" in errors[-1]
    assert finish(first)[0] == 0
    (folder,) = find_runs(tmp_path / "runs")
    assert (folder / "predictions.jsonl").read_bytes().count(b"\n") == 600
