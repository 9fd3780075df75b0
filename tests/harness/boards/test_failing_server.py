"""A board against a server that fails now and then: it ends, says so, and is completed later."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.llm.base import GenerateRequest
from harness.runs.directory import find_runs
from tests.harness.conftest import CommandLine
from tests.harness.lab import CountingModel, FailingServer

METHODS = ("no-retrieval", "bm25", "corag-prompted")


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


def test_a_board_ends_with_its_counts_and_a_second_run_answers_the_rest(
    cli: CommandLine, board: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    cli.model = FailingServer("Question: How is number 3 called?", times=1000)
    done = cli("run", board, "--out", out)
    assert done.code == 0, done.err
    assert done.err.count("questions left unanswered by the model's server: 1;") == len(METHODS)
    found = rows(cli, out)
    assert {row["method"] for row in found} == set(METHODS)
    assert {row["unanswered"] for row in found} == {"1"}
    assert {row["questions"] for row in found} == {"23"}
    assert {row["errors"] for row in found} == {"0"}
    assert all(int(row["retries"]) >= 5 for row in found)
    cli.model = FailingServer()
    done = cli("run", board, "--out", out)
    assert done.code == 0, done.err
    assert "warning" not in done.err
    asked_again = cli.model.calls
    again = rows(cli, out)
    assert {(row["unanswered"], row["questions"]) for row in again} == {("0", "24")}
    assert {row["method"]: row["retries"] for row in again} == {
        row["method"]: row["retries"] for row in found
    }
    cli.model = CountingModel()
    assert cli("run", board, "--out", tmp_path / "whole").code == 0
    assert 0 < asked_again < cli.model.calls / 14  # one question of 24, and four that are timed
    assert predictions(out) == predictions(tmp_path / "whole")
    assert cli("run", board, "--out", out).err.count("finished before") == len(METHODS)


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
