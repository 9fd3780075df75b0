"""A board of methods against a stub that misbehaves in every way: it ends, and is completed."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

import harness.llm.open
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from tests.harness.conftest import CommandLine
from tests.harness.llm.server.asking import opened
from tests.stub import FAULTS, Fault, Stub, Words

METHODS = "no-retrieval, bm25, ircot, corag-prompted"
HARD = ("number 3 ", "number 11 ")
"""Questions that the server does not answer until it is mended."""


def words(prompt: str) -> str:
    """A reply that depends on the whole prompt."""
    return f"name{int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 24} is it"


class Flaky:
    """A quarter of the requests meet a fault once; the hard ones as long as it is ill."""

    def __init__(self) -> None:
        self.ill = True

    def __call__(self, asked) -> Fault | None:
        kinds = list(FAULTS.values())
        digest = hashlib.sha256(asked.text.encode()).digest()
        question = asked.text.rsplit("uestion: ", 1)[-1]
        if any(text in question for text in HARD):
            return kinds[digest[0] % len(kinds)] if self.ill else None
        return kinds[digest[0] % len(kinds)] if asked.before == 0 and digest[1] < 64 else None


@pytest.fixture
def board(files: Path, tmp_path: Path) -> Path:
    path = tmp_path / "board.yaml"
    path.write_text(
        f"""
name: failing
methods: [{METHODS}]
models: ["openai:m"]
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


def rows(cli: CommandLine, out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(cli("leaderboard", out, "--format", "csv").out.splitlines()))


@pytest.mark.timeout(120)
def test_a_board_against_it_ends_and_a_second_run_answers_the_rest(
    cli: CommandLine, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, faults = tmp_path / "runs", Flaky()
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-nobody")
    with Stub(Words(words), faults=faults, refuses=["seed"], usage=False) as stub:
        monkeypatch.setattr(
            harness.llm.open,
            "open_model",
            lambda *_, **__: opened(stub, max_retries=2),
        )
        done = cli("run", board, "--out", out)
        assert done.code == 0, done.err
        first = rows(cli, out)
        faults.ill = False
        done = cli("run", board, "--out", out)
        assert done.code == 0, done.err
        again = rows(cli, out)
        assert cli("run", board, "--out", tmp_path / "whole").code == 0
    assert {row["unanswered"] for row in again} == {"0"}
    for folder in find_runs(out):
        whole = tmp_path / "whole" / folder.relative_to(out)
        for name in ("predictions.jsonl", "scores.jsonl"):
            assert (folder / name).read_bytes() == (whole / name).read_bytes()
        assert read_manifest(folder).model_provenance["adapted"] == ["seed"]
    assert all(int(row["unanswered"]) > 0 and int(row["retries"]) > 0 for row in first)
