"""Surroundings that are not as usual: a command does its work in them, or says what is amiss."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.runs.directory import find_runs
from tests.harness.conftest import CommandLine, Done
from tests.harness.lab import write_task

QUESTIONS = 6
# What stands for a model needs no torch.
START = """
import harness.cli.main, harness.llm.open
from _pytest.monkeypatch import MonkeyPatch
from tests.harness.lab import CountingModel, without_torch
without_torch(MonkeyPatch())
harness.llm.open.open_model = lambda *_, **__: CountingModel()
harness.cli.main.main()
"""
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
FILES = ("predictions.jsonl", "scores.jsonl", "scores.json")


def arguments(files: Path, out: Path) -> list[str]:
    named = [f"--{kind}={files / kind}.jsonl" for kind in ("questions", "train", "corpus")]
    return ["run", "--method", "bm25", "-p", "shots=1", "--task", "toy", *named,
            "--latency-queries", "2", "--device", "cpu", "--out", str(out)]  # fmt: skip


def run(cli: CommandLine, files: Path, out: Path) -> Done:
    return cli(*arguments(files, out))


def answers(out: Path) -> list[bytes]:
    (folder,) = find_runs(out)
    return [(folder / name).read_bytes() for name in FILES]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_task(tmp_path / "files", QUESTIONS)


@pytest.fixture
def usual(cli: CommandLine, files: Path, tmp_path: Path) -> list[bytes]:
    """What a run gives in the usual surroundings."""
    done = run(cli, files, tmp_path / "usual")
    assert done.code == 0, done.err
    return answers(tmp_path / "usual")


def no_home(patch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    patch.delenv("HOME", raising=False)
    patch.setattr(pwd, "getpwuid", unknown)


def backwards(patch: pytest.MonkeyPatch) -> None:
    now, steps = time.time(), itertools.count()
    patch.setattr(time, "time", lambda: now - 3600 * next(steps))


def unknown_zone(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("TZ", "Nowhere/Atlantis")
    time.tzset()


def no_terminal(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("COLUMNS", "0")
    patch.setenv("TERM", "dumb")


@pytest.mark.parametrize("surround", [no_home, backwards, unknown_zone, no_terminal])
def test_a_run_is_the_same(
    cli: CommandLine,
    files: Path,
    tmp_path: Path,
    usual: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    surround,
) -> None:
    # Its index is built anew.
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patch:
        surround(patch)
        done = run(cli, files, tmp_path / "runs")
    time.tzset()
    assert done.code == 0, done.err
    assert answers(tmp_path / "runs") == usual


def test_a_run_is_the_same_in_the_locale_c(files: Path, tmp_path: Path, usual: list[bytes]) -> None:
    """In a process of its own: Python looks at the locale as it starts."""
    command = [sys.executable, "-c", START, *arguments(files, tmp_path / "runs")]
    environment = {**os.environ, **C_LOCALE}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert answers(tmp_path / "runs") == usual


def test_without_a_home_and_a_cache_one_line_says_what_to_set(
    cli: CommandLine, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MEMORY_HARNESS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    no_home(monkeypatch)
    line = cli.refuses(*arguments(files, tmp_path / "runs"))
    assert line.startswith("error: ~/.cache/memory-harness: no home folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("place", ["cache", "runs"])
def test_a_place_that_may_not_be_written_is_named(
    cli: CommandLine, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    closed = tmp_path / place
    closed.mkdir()
    closed.chmod(0o500)
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    line = cli.refuses(*arguments(files, tmp_path / "runs"))
    closed.chmod(0o700)
    assert line.startswith(f"error: {closed}")


def test_a_cache_that_holds_what_is_needed_may_be_read_only(
    cli: CommandLine,
    files: Path,
    tmp_path: Path,
    usual: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(cache))
    assert run(cli, files, tmp_path / "first").code == 0
    for path in [cache, *cache.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    done = run(cli, files, tmp_path / "second")
    for path in [cache, *cache.rglob("*")]:
        path.chmod(0o700)
    assert done.code == 0, done.err
    assert answers(tmp_path / "second") == usual


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_a_run_goes_on_in_another_place(
    cli: CommandLine, files: Path, tmp_path: Path, usual: list[bytes], how
) -> None:
    """Half of its answers are taken away, then it is copied or moved and continued there."""
    here, there = tmp_path / "usual", tmp_path / "there"
    (folder,) = find_runs(here)
    lines = (folder / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "predictions.jsonl").write_bytes(b"".join(lines[: QUESTIONS // 2]))
    for name in ("scores.jsonl", "scores.json"):
        (folder / name).unlink()
    how(here, there)
    done = run(cli, files, there)
    assert done.code == 0, done.err
    assert answers(there) == usual
