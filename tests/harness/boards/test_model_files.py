"""Runs on local models: other weights in the same folder are another run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.boards.config import parse_board
from harness.boards.prepare import prepare, resolve
from harness.boards.run import plan_runs, run_plans
from harness.errors import InputError, RunFailedError
from harness.llm.open import open_model
from harness.runs.directory import find_runs
from harness.runs.manifest import read_manifest
from harness.runs.predictions import read_predictions
from tests.harness.conftest import CommandLine
from tests.harness.lab import quiet
from tests.tiny import build_tiny_model


@pytest.fixture
def run(cli: CommandLine, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a method on the small task with the model that is named, not with a stand-in."""
    monkeypatch.setattr("harness.llm.open.open_model", open_model)

    def call(model: str) -> tuple[str, set[Path]]:
        done = cli(
            "run", "--method", "no-retrieval", "--task", "toy", "-p", "shots=0", "--model", model,
            "--questions", files / "questions.jsonl", "--corpus", files / "corpus.jsonl",
            "--limit", 3, "--latency-queries", 1, "--device", "cpu", "--out", tmp_path / "runs",
        )  # fmt: skip
        assert done.code == 0, done.err
        return done.err, set(find_runs(tmp_path / "runs"))

    return call


def answers(folder: Path) -> list[str]:
    return [row["raw"] for _, row in read_predictions(folder / "predictions.jsonl")]


def test_overwritten_weights_are_another_run(run, tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "models" / "tiny")
    _, before = run(f"path:{model}")
    build_tiny_model(model, seed=1)
    said, after = run(f"path:{model}")
    assert "finished before" not in said
    (old,), (new,) = before, after - before
    assert answers(old) != answers(new)
    assert read_manifest(new).model_provenance["path"] == str(model)
    build_tiny_model(model)
    said, again = run(f"path:{model}")
    assert "finished before" in said
    assert again == after


def test_a_folder_that_was_moved_is_the_same_run(run, tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "models" / "tiny")
    _, before = run(f"path:{model}")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(model, tmp_path / "elsewhere")
    said, after = run(f"path:{tmp_path / 'elsewhere' / 'tiny'}")
    assert "finished before" in said
    assert after == before


def test_a_missing_folder_stops_before_anything_is_loaded(cli: CommandLine, tmp_path: Path) -> None:
    command = ("run", "--method", "no-retrieval", "--task", "nq", "--out", tmp_path / "runs")
    line = cli.refuses(*command, "--model", f"path:{tmp_path / 'none'}")
    assert "none is no transformers model folder" in line
    assert not (tmp_path / "runs").exists()


def test_a_prepared_model_counts_by_what_was_made(tmp_path: Path) -> None:
    preparation = {"name": "wide", "train": "smollm2-135m-instruct"}
    content = {
        "name": "b", "tasks": [{"name": "nq", "limit": 2}], "methods": ["no-retrieval"],
        "models": ["prepared:wide/model"], "prepare": [preparation],
    }  # fmt: skip
    board = parse_board(content, "board.yaml")

    def plan(root: Path, seed: int) -> str:
        made = resolve(board, root)
        prepare(made, root, lambda _, __, folder: build_tiny_model(folder / "model", seed))
        (found,) = plan_runs(made, "cpu")
        assert found.model.path == str(root / "prepared" / "wide" / "model")
        return found.config.run_id

    first = plan(tmp_path / "a", seed=0)
    assert plan(tmp_path / "b", seed=0) == first
    assert plan(tmp_path / "c", seed=1) != first
    shutil.rmtree(tmp_path / "a" / "prepared" / "wide" / "model")
    with pytest.raises(InputError, match="wide/model is no transformers model folder"):
        plan(tmp_path / "a", seed=0)


def test_weights_overwritten_after_planning_are_not_run_as_the_old_ones(
    files: Path, tmp_path: Path
) -> None:
    model = build_tiny_model(tmp_path / "tiny")
    paths = {kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus")}
    content = {
        "name": "b", "tasks": [{"name": "toy", "limit": 2, "files": paths}],
        "methods": [{"name": "no-retrieval", "params": {"shots": 0}}], "models": [f"path:{model}"],
    }  # fmt: skip
    plans = list(plan_runs(parse_board(content, "board.yaml"), "cpu"))
    build_tiny_model(model, seed=1)
    with pytest.raises(RunFailedError, match="'tiny': its files changed since the board was"):
        run_plans(plans, tmp_path / "runs", quiet(), device="cpu")
    assert not (tmp_path / "runs").exists()
