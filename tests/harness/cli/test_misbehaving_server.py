"""A run from the command line against the stub server, which misbehaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.llm.server.model import ServerModel
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from harness.runs.predictions import read_predictions
from tests.harness.conftest import CommandLine
from tests.stub import FAULTS, Asked, Fault, Stub, Words


def test_a_second_run_asks_what_a_server_left_unanswered(
    cli: CommandLine, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill = True

    def faults(asked: Asked) -> Fault | None:
        if ill and "number 7 " in asked.text:
            return FAULTS["half a document"]
        return FAULTS["503"] if "number 3 " in asked.text and not asked.before else None

    def opened(config: Any, **_: Any) -> ServerModel:
        return ServerModel(config, pause=0.001)

    monkeypatch.setattr("harness.llm.open.open_model", opened)
    paths = [x for kind in ("questions", "corpus", "train")
             for x in (f"--{kind}", files / f"{kind}.jsonl")]  # fmt: skip
    with Stub(Words(lambda _: "name1"), faults=faults, refuses=["seed"], usage=False) as stub:
        command = (
            "run", "--method", "no-retrieval", "--task", "toy", *paths, "--out", tmp_path / "runs",
            "--latency-queries", 0, "-p", "shots=0", "--model", f"openai:m@{stub.url}",
        )  # fmt: skip
        first = cli(*command)
        assert first.code == 0, first.err
        (folder,) = find_runs(tmp_path / "runs")
        rows = {row["question_id"] for _, row in read_predictions(folder / "predictions.jsonl")}
        asked, ill = len(stub.asked), False
        second = cli(*command)
        assert second.code == 0, second.err
        assert len(stub.asked) == asked + 2  # A seed is refused anew.
    finished = {row["question_id"] for _, row in read_predictions(folder / "predictions.jsonl")}
    assert len(finished - rows) == 1
    assert "1 question was left unanswered" in " ".join(first.out.split() + first.err.split())
    # Five tries more of the one that failed on, one of the other.
    assert read_performance(folder).retries == 6
    usage = read_performance(folder).usage
    assert usage is not None
    assert usage.prompt_tokens is None
    assert read_manifest(folder).model_provenance["adapted"] == ["seed"]
