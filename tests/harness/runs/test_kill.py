"""A run that is killed and continued ends as if nothing had happened, byte for byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.runs.directory import find_runs
from harness.runs.performance import read_performance
from leaderboards.table import render
from tests.harness.lab import write_task

FILES = ("predictions.jsonl", "scores.jsonl", "scores.json", "manifest.json")


def killed(how: str, folder: Path) -> list[int]:
    """How many answers each killed run had."""
    command = [sys.executable, "-m", "tests.harness.runs.killing", how, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


def outcome(out: Path) -> dict[str, object]:
    """Everything that must not depend on a kill; timings are apart."""
    (folder,) = find_runs(out)
    performance = read_performance(folder).written()
    kept = {name: (folder / name).read_bytes() for name in FILES}
    memory = {path.name: path.read_bytes() for path in out.glob("*/.memory/*/memory/*")}
    assert memory
    assert not list(folder.glob(".*.tmp"))
    (folder / "performance.json").unlink()
    table = render(out, "json")  # all that tables of other formats show, too
    untimed = {key: performance[key] for key in ("usage", "storage")}
    assert len(performance["latency"]["seconds"]) == 4
    return {**kept, "memory": memory, "table": table, "untimed": untimed}


def check_all_alike(folder: Path, at_least: int) -> None:
    whole = outcome(folder / "whole")
    others = sorted(folder.glob("killed-*"))
    assert len(others) >= at_least
    for other in others:
        assert outcome(other) == whole, other.name


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    reached = killed("moments", tmp_path)
    assert len(reached) >= 4  # the others ended before their moment came
    assert len({count for count in reached if 0 < count < 200}) >= 3
    check_all_alike(tmp_path, at_least=6)


@pytest.mark.slow
def test_killed_before_and_after_each_file_is_put_in_place(tmp_path: Path) -> None:
    reached = killed("writes", tmp_path)
    assert len(reached) >= 16
    assert {0, 48} <= set(reached)
    check_all_alike(tmp_path, at_least=16)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flaky", "again"])
def test_killed_while_a_server_fails_or_its_questions_are_asked_again(
    how: str, tmp_path: Path
) -> None:
    reached = killed(how, tmp_path)
    assert len(reached) >= 6
    assert any(0 < count < 24 for count in reached)
    check_all_alike(tmp_path, at_least=6)


@pytest.mark.slow
def test_a_real_model_killed_by_the_command_line(
    tmp_path: Path, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in a process of its own, finished in this one, where torch is loaded already."""
    files = write_task(tmp_path / "files", 24)
    arguments = [
        "run", "--method", "bm25", "--task", "toy", "--questions", files / "questions.jsonl",
        "--corpus", files / "corpus.jsonl", "--train", files / "train.jsonl", "--model",
        f"path:{tiny_model_dir}", "--latency-queries", "0", "--batch-size", "4", "-p", "k=2",
        "--device", "cpu", "--out",
    ]  # fmt: skip
    program = Path(sys.executable).with_name("memory-harness")
    whole, out = tmp_path / "whole", tmp_path / "killed"
    monkeypatch.setenv("PATH", "")  # no git: a commit made meanwhile would be recorded
    with subprocess.Popen([program, *arguments, out], stderr=subprocess.DEVNULL) as process:
        wait_for_answers(out, 9, process)
        os.kill(process.pid, signal.SIGKILL)
    for place in (whole, out):
        monkeypatch.setattr("sys.argv", ["memory-harness", *map(str, arguments), str(place)])
        with pytest.raises(SystemExit, match="0"):
            main()
    ends = []
    for place in (whole, out):
        (folder,) = find_runs(place)
        assert json.loads((folder / "manifest.json").read_text())["status"] == "finished"
        (folder / "performance.json").unlink()
        ends.append([*((folder / name).read_bytes() for name in FILES), render(place)])
    assert ends[0] == ends[1]


def wait_for_answers(out: Path, lines: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if sum(p.read_bytes().count(b"\n") for p in out.rglob("predictions.jsonl")) >= lines:
            return
        time.sleep(0.01)
    raise AssertionError(f"{lines} answers were not seen in time")
