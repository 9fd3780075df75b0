"""A run that is killed and continued ends as if nothing had happened, byte for byte.

With a real model and by the command line: tests/harness/faults/test_every_change.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.runs.directory import find_runs
from harness.runs.performance import read_performance
from leaderboards.table import render

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
