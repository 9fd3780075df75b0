"""The examples of methods/README.md of a retriever and a metric, followed as they are written."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pytest

from harness import registry
from tests.harness.conftest import CommandLine
from tests.readme import README, steps

PAGE = README.parent / "methods" / "README.md"


@pytest.fixture
def follow(cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a section's files and runs its commands; gives what each printed, by command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_plugins", {})

    def run(heading: str) -> dict[str, str]:
        printed = {}
        for step in steps(heading, PAGE):
            if step.kind == "file":
                Path(step.name).write_text(step.text)
            else:
                _, *words = shlex.split(step.text)
                done = cli(*words)
                assert done.code == 0, (step.text, done)
                printed[words[0]] = done.out
        return printed

    return run


def test_a_retriever(follow, tmp_path: Path) -> None:
    printed = follow("A retriever")
    assert "9 rules kept, 0 broken" in printed["check-retriever"]
    (manifest,) = (tmp_path / "runs").rglob("manifest.json")
    config = json.loads(manifest.read_text())["config"]
    assert config["retriever"] == {"kind": "first-words", "words": 20}
    (performance,) = (tmp_path / "runs").rglob("performance.json")
    assert json.loads(performance.read_text())["storage"]["parts"]["sparse index"] > 0
    (predictions,) = (tmp_path / "runs").rglob("predictions.jsonl")
    assert all(json.loads(line)["retrieved_ids"] for line in predictions.read_text().splitlines())


def test_a_metric(follow, tmp_path: Path, cli: CommandLine) -> None:
    printed = follow("A metric")
    (scores,) = (tmp_path / "runs").rglob("scores.jsonl")
    values = [json.loads(line)["brevity"] for line in scores.read_text().splitlines()]
    assert all(0 < value <= 1 for value in values) and len(set(values)) > 1
    mean = f"{100 * sum(values) / len(values):.1f}"
    assert "brevity &#91;95% CI&#93;" in printed["leaderboard"]
    assert f"{mean} [" in printed["leaderboard"]
    assert mean in printed["compare"]
    with Path("zoo.csv").open() as file:
        assert [float(row["brevity"]) for row in csv.DictReader(file)] == pytest.approx(values)
    # Another process, without the plug-in, still shows what was scored.
    registry._plugins.clear()
    assert f"{mean} [" in cli("leaderboard", "runs/zoo", "--columns", "brevity").out
    assert "unknown metric 'brevity'" in cli.refuses(
        "run", "--method", "no-retrieval", "--task", "./zoo", "--out", "runs/other"
    )
