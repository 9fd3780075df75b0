"""A board stops at questions that trained parts learnt from, or leaves them out for every row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.boards.config import parse_board
from harness.boards.run import plan_runs, run_plans
from harness.data.trained_on import TrainedOn, write_record
from harness.errors import InputError
from harness.records import Question
from harness.registry import register_method
from tests.harness.conftest import CommandLine
from tests.harness.lab import Ask, CountingModel, quiet, without_torch
from tests.tiny import build_tiny_model


def question(number: int) -> Question:
    return Question(f"other {number}", f"How  is NUMBER {number} called", ("x",))


class Learnt(Ask):
    """Learnt from two questions, one of them asked."""

    def trained_on(self) -> tuple[TrainedOn, ...]:
        return (TrainedOn.of("the reader of learnt", [question(3), question(999)]),)


class Forgotten(Ask):
    """Nobody knows what it learnt from."""

    def trained_on(self) -> tuple[TrainedOn, ...]:
        return (TrainedOn("old parts", None),)


@pytest.fixture(autouse=True)
def _methods(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: CountingModel())
    for name, cls in {"ask": Ask, "learnt": Learnt, "forgotten": Forgotten}.items():
        register_method(name, cls)


def board(files: Path, *methods: str, **values: Any) -> Any:
    paths = {kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus", "train")}
    tasks = [{"name": "toy", "files": paths}]
    content = {"name": "b", "methods": methods, "tasks": tasks, "latency": {"queries": 0}}
    return parse_board({**content, **values}, "b.yaml")


def test_a_leak_stops_the_whole_board_before_any_run(files: Path) -> None:
    with pytest.raises(InputError) as caught:
        list(plan_runs(board(files, "ask", "learnt"), "cpu"))
    assert "1 of 24 questions are among those that the reader of learnt learnt" in str(caught.value)
    assert f"the first 'q3' ({files}/questions.jsonl:4)" in str(caught.value)


def test_left_out_they_are_left_out_for_every_method_and_the_manifest_says_so(
    files: Path, tmp_path: Path
) -> None:
    plans = list(plan_runs(board(files, "ask", "learnt", leave_out_trained=True), "cpu"))
    folders = run_plans(plans, tmp_path / "runs", quiet())
    manifests = [json.loads((folder / "manifest.json").read_text()) for folder in folders]
    for manifest in manifests:
        assert manifest["config"]["task"]["questions"] == 23
        said = "1 of 24 questions, which the reader of learnt learnt from"
        assert manifest["task_provenance"]["left_out"] == said
    assert "trained_on" not in manifests[0]
    assert manifests[1]["trained_on"] == {"the reader of learnt": 2}
    for folder in folders:
        rows = map(json.loads, (folder / "predictions.jsonl").read_text().splitlines())
        assert "q3" not in {row["question_id"] for row in rows}


def test_what_nobody_noted_is_said_and_goes_on(files: Path, tmp_path: Path, caplog) -> None:
    (folder,) = run_plans(plan_runs(board(files, "forgotten"), "cpu"), tmp_path / "runs", quiet())
    assert caplog.text.count("not known which questions old parts learnt from") == 1
    assert json.loads((folder / "manifest.json").read_text())["trained_on"] == {"old parts": None}


@pytest.mark.parametrize("spec", ["path:{}", "lm-eval:hf,pretrained={},dtype=float32"])
def test_a_model_that_was_tuned_on_them_stops_every_method(
    files: Path, tmp_path: Path, spec: str
) -> None:
    models = [spec.format(build_tiny_model(tmp_path / "tuned" / "model"))]
    before = [p.config.run_id for p in plan_runs(board(files, "ask", models=models), "cpu")]
    write_record(tmp_path / "tuned", {"toy": [question(7)]})
    with pytest.raises(InputError, match="1 of 24 questions are among those that model '.*' learn"):
        list(plan_runs(board(files, "ask", models=models), "cpu"))
    write_record(tmp_path / "tuned", {"toy": [question(77)]})
    after = [p.config.run_id for p in plan_runs(board(files, "ask", models=models), "cpu")]
    assert after == before, "a record changes no prediction, so no run id"


def test_the_command_line_leaves_them_out(cli: CommandLine, files: Path, tmp_path: Path) -> None:
    names = ("questions", "corpus", "train")
    options = [part for name in names for part in (f"--{name}", files / f"{name}.jsonl")]
    arguments = ["run", "--method", "learnt", "--task", "toy", *options, "--latency-queries", 0]
    arguments += ["--out", tmp_path / "runs"]
    assert "--leave-out-trained" in cli.refuses(*arguments)
    assert not list(tmp_path.glob("runs/toy/*"))
    assert cli(*arguments, "--leave-out-trained").code == 0


def test_a_task_is_also_the_folder_of_a_card(cli: CommandLine, files: Path, tmp_path: Path) -> None:
    sample = tmp_path / "mine" / "sample"
    shutil.copytree(files, sample)
    (sample.parent / "task.yaml").write_text("name: my-task\ntitle: Mine\n")
    for task in (sample.parent, sample.parent / "task.yaml"):
        out = tmp_path / "runs"
        done = cli("run", "--method", "ask", "--task", task, "--latency-queries", 0, "--out", out)
        assert done.code == 0, done
    assert len(list(tmp_path.glob("runs/my-task/ask/*/manifest.json"))) == 1


def test_a_sweep_leaves_them_out_too(cli: CommandLine) -> None:
    assert "--leave-out-trained" in cli("sweep", "--help").out


def test_limit_is_a_sample_and_says_so(cli: CommandLine) -> None:
    for command in ("run", "sweep", "evaluate-forgetting"):
        text = " ".join(cli(command, "--help").out.replace("\u2502", "").split())
        assert "a fixed random sample, by the hash of" in text
        assert "first N" not in text
