"""A board's judge: a key, checked before anything runs, that judges all runs at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.llm.requests import GenerateRequest
from harness.runs.directory import find_runs
from harness.runs.judge_record import read_judge, read_verdicts
from harness.testing.models import pick_words
from tests.harness.conftest import CommandLine
from tests.harness.lab import CountingModel


class JudgingModel(CountingModel):
    """Answers as it does, and calls every answer wrong."""

    def _rule(self, request: GenerateRequest) -> str:
        self.calls += 1
        return "WRONG" if "</answer>" in str(request.prompt) else pick_words(request)


@pytest.fixture
def board(files: Path):
    def write(**values: object) -> Path:
        path = files / "board.yaml"
        task = {
            "name": "toy",
            "files": {f"{k}": f"{k}.jsonl" for k in ("questions", "corpus", "train")},
        }
        content = {
            "name": "judged",
            "tasks": [task],
            "methods": ["no-retrieval"],
            "latency": {"queries": 0},
            **values,
        }
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_all_runs_of_a_board_are_judged_at_its_end(
    cli: CommandLine, board, files: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    cli.model = JudgingModel()
    (files / "mine.txt").write_text("{question} {golden_answers} <answer>{answer}</answer>")
    judge = {"model": "smollm2-135m-instruct", "prompt": "mine.txt"}
    path = board(judge=judge)
    assert cli("run", path, "--out", out).code == 0
    (folder,) = find_runs(out)
    assert {v.word for v in read_verdicts(folder).values()} == {"wrong"}
    assert len(read_verdicts(folder)) == 24
    found = read_judge(folder)
    assert found is not None
    assert found.judge.model == "smollm2-135m-instruct"
    assert found.judge.settings["weights_sha256"]
    calls = cli.model.calls
    again = cli("run", path, "--out", out)
    assert "judged before by smollm2-135m-instruct, prompt" in again.err
    assert cli.model.calls == calls
    # The command does the same for runs that are there; another prompt is another judge.
    line = cli.refuses("judge", out, "--model", "smollm2-135m-instruct")
    assert "judged by another one before" in line
    assert cli("judge", out, "--model", "smollm2-135m-instruct", "--replace").code == 0
    assert cli.model.calls == calls + 24


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ("no-such-model", "no-such-model"),
        ({"model": "smollm2-135m-instruct", "prompt": "gone.txt"}, "gone.txt"),
        ({"modell": "smollm2-135m-instruct"}, "judge.modell"),
    ],
)
def test_a_judge_that_cannot_be_is_refused_before_anything_runs(
    cli: CommandLine, board, tmp_path: Path, judge: object, message: str
) -> None:
    cli.model = JudgingModel()
    assert message in cli.refuses("run", board(judge=judge), "--out", tmp_path / "runs")
    assert cli.model.calls == 0
