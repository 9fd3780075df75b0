"""A board whose server failed: recorded errors are asked again, and nothing else."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.llm.requests import GenerateRequest
from harness.runs.directory import find_runs
from tests.harness.conftest import CommandLine
from tests.harness.lab import CountingModel

METHODS = ("no-retrieval", "bm25")


@pytest.fixture
def board(files: Path, tmp_path: Path) -> Path:
    path = tmp_path / "board.yaml"
    path.write_text(
        f"""
name: failing
methods: [{", ".join(METHODS)}]
latency: {{queries: 3, warmup: 1}}
tasks:
  - name: toy
    files:
      questions: {files / "questions.jsonl"}
      corpus: {files / "corpus.jsonl"}
      train: {files / "train.jsonl"}
"""
    )
    return path


def predictions(out: Path) -> dict[str, bytes]:
    return {
        str(folder.relative_to(out)): (folder / "predictions.jsonl").read_bytes()
        for folder in find_runs(out)
    }


def rows(cli: CommandLine, out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(cli("leaderboard", out, "--format", "csv").out.splitlines()))


def test_recorded_errors_are_asked_again_by_the_command_line(
    cli: CommandLine, board: Path, tmp_path: Path
) -> None:
    def fail(request: GenerateRequest) -> None:
        if "Question: How is number 3 called?" in str(request.prompt):
            raise ConnectionError("gone")

    out = tmp_path / "runs"
    cli.model = CountingModel(fail)
    cli.model.concurrency = 4
    done = cli("run", board, "--out", out)
    assert done.err.count("1 of 24 questions failed and count as wrong answers") == len(METHODS)
    assert {row["errors"] for row in rows(cli, out)} == {"1"}
    cli.model = CountingModel()
    assert cli("run", board, "--out", out).err.count("finished before") == len(METHODS)
    assert cli.model.calls == 0
    assert cli("run", board, "--out", out, "--retry-errors").code == 0
    assert {row["errors"] for row in rows(cli, out)} == {"0"}
    assert cli("run", board, "--out", tmp_path / "whole").code == 0
    assert predictions(out) == predictions(tmp_path / "whole")
    done = cli("run", board, "--out", out, "--retry-errors")
    assert done.err.count("finished before") == len(METHODS)
