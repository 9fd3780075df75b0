"""One damaged run among several: ``score`` and ``show`` tell of it and do the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness.conftest import CommandLine

BEFORE = Path(__file__).parents[1] / "runs" / "before" / "whole"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Eight runs."""
    shutil.copytree(BEFORE, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def broken(runs: Path) -> Path:
    """The second of them lacks its first answer and ends in half a line."""
    path = sorted(runs.glob("*/*/*/predictions.jsonl"))[1]
    path.write_text(path.read_text().partition("\n")[2][:-20])
    return path


def test_the_others_are_scored(cli: CommandLine, runs: Path, broken: Path) -> None:
    for options in ((), ("--check",)):
        done = cli("score", runs, *options)
        assert (done.code, len(done.out.splitlines())) == (2, 7)
        assert done.err.startswith(f"error: {broken}") and str(broken.parent) not in done.out


def test_the_others_are_shown(cli: CommandLine, runs: Path, broken: Path) -> None:
    whole = cli("show", runs, "q3").out
    assert whole.count("question q3: ") == 7
    assert f"damaged, so left out: {broken}:7: not a prediction" in whole


def test_answers_that_were_changed_are_shown_with_a_caution(cli: CommandLine, runs: Path) -> None:
    path = next(runs.glob("toy/bm25/*/predictions.jsonl"))
    assert "caution" not in cli("show", path.parent, "q3").out
    path.write_text(path.read_text().replace('"error":null', '"error":"E: x"', 1))
    told = cli("show", path.parent, "q3").out
    assert f"caution: {path}: changed since they were scored" in told
