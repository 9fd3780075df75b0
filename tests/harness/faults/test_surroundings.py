"""Surroundings that are not as usual: a command does its work in them, or says what is amiss."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.runs.directory import find_runs
from tests.harness.lab import write_task

QUESTIONS = 6
# What stands for a model needs no torch; {before} changes the surroundings.
START = """
import harness.cli.main, harness.llm.open
from _pytest.monkeypatch import MonkeyPatch
from tests.harness.lab import CountingModel, without_torch
without_torch(MonkeyPatch())
harness.llm.open.open_model = lambda *_, **__: CountingModel()
{before}
harness.cli.main.main()
"""
NO_HOME = """
import os, pwd
os.environ.pop("HOME", None)
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
"""
BACKWARDS = """
import itertools, time
now, steps = time.time(), itertools.count()
time.time = lambda: now - 3600 * next(steps)
"""
FILES = ("predictions.jsonl", "scores.jsonl", "scores.json")


def run(
    files: Path, out: Path, before: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    arguments = ["run", "--method", "bm25", "-p", "shots=1", "--task", "toy", "--questions",
                 files / "questions.jsonl", "--train", files / "train.jsonl", "--corpus",
                 files / "corpus.jsonl", "--latency-queries", "2", "--device", "cpu", "--out",
                 out]  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", START.format(before=before), *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, **variables},
        timeout=120,
        check=False,
    )


def answers(out: Path) -> list[bytes]:
    (folder,) = find_runs(out)
    return [(folder / name).read_bytes() for name in FILES]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_task(tmp_path / "files", QUESTIONS)


@pytest.fixture
def usual(files: Path, tmp_path: Path) -> list[bytes]:
    """What a run gives in the usual surroundings."""
    done = run(files, tmp_path / "usual")
    assert done.returncode == 0, done.stderr
    return answers(tmp_path / "usual")


@pytest.mark.parametrize(
    ("before", "variables"),
    [
        ("", {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        (NO_HOME, {}),
        (BACKWARDS, {}),
        ("", {"TZ": "Nowhere/Atlantis"}),
        ("", {"COLUMNS": "0", "TERM": "dumb"}),
    ],
    ids=["C locale", "no home", "a clock that goes back", "an unknown time zone", "no terminal"],
)
def test_a_run_is_the_same(
    files: Path, tmp_path: Path, usual: list[bytes], before: str, variables: dict[str, str]
) -> None:
    done = run(files, tmp_path / "runs", before, **variables)
    assert done.returncode == 0, done.stderr
    assert answers(tmp_path / "runs") == usual


def test_without_a_home_and_a_cache_one_line_says_what_to_set(files: Path, tmp_path: Path) -> None:
    none = {"MEMORY_HARNESS_CACHE": "", "XDG_CACHE_HOME": ""}
    done = run(files, tmp_path / "runs", NO_HOME, **none)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ~/.cache/memory-harness: no home folder")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("place", ["cache", "runs"])
def test_a_place_that_may_not_be_written_is_named(files: Path, tmp_path: Path, place: str) -> None:
    closed = tmp_path / place
    closed.mkdir()
    closed.chmod(0o500)
    done = run(files, tmp_path / "runs", MEMORY_HARNESS_CACHE=str(tmp_path / "cache"))
    closed.chmod(0o700)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {closed}")


def test_a_cache_that_holds_what_is_needed_may_be_read_only(
    files: Path, tmp_path: Path, usual: list[bytes]
) -> None:
    cache = tmp_path / "cache"
    assert run(files, tmp_path / "first", MEMORY_HARNESS_CACHE=str(cache)).returncode == 0
    for path in [cache, *cache.rglob("*")]:
        path.chmod(0o500 if path.is_dir() else 0o400)
    done = run(files, tmp_path / "second", MEMORY_HARNESS_CACHE=str(cache))
    for path in [cache, *cache.rglob("*")]:
        path.chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert answers(tmp_path / "second") == usual


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_a_run_goes_on_in_another_place(
    files: Path, tmp_path: Path, usual: list[bytes], how
) -> None:
    """Half of its answers are taken away, then it is copied or moved and continued there."""
    assert run(files, tmp_path / "here").returncode == 0
    (folder,) = find_runs(tmp_path / "here")
    lines = (folder / "predictions.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "predictions.jsonl").write_bytes(b"".join(lines[: QUESTIONS // 2]))
    for name in ("scores.jsonl", "scores.json"):
        (folder / name).unlink()
    how(tmp_path / "here", tmp_path / "there")
    done = run(files, tmp_path / "there")
    assert done.returncode == 0, done.stderr
    assert answers(tmp_path / "there") == usual
