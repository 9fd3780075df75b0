"""Scores: made from predictions and gold, made again at any time, never older than both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.files import write_json
from harness.runs import scoring
from harness.runs.execute import execute
from harness.runs.scoring import is_scored, score_run
from tests.harness.lab import CountingModel, make_plan, quiet, without_torch

SCORES = ("scores.jsonl", "scores.json")


@pytest.fixture
def folder(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run whose model always says ``name3``."""
    without_torch(monkeypatch)
    model = CountingModel()
    model.reply = lambda _: "name3"
    model._rule = model.reply  # type: ignore[method-assign]
    return execute(make_plan(files), tmp_path / "runs", model, None, quiet())


def scores(folder: Path) -> dict[str, dict]:
    lines = map(json.loads, (folder / "scores.jsonl").open())
    return {line["question_id"]: line for line in lines}


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in SCORES]


def test_only_the_right_answer_scores(folder: Path) -> None:
    found = scores(folder)
    assert [key for key, line in found.items() if line["em"] == 1] == ["q3"]
    assert len(found) == 24
    assert found["q3"] | {"em": 1, "f1": 1, "contains": 1, "error": False} == found["q3"]


def test_deleted_scores_come_back_identical(folder: Path) -> None:
    before = contents(folder)
    for name in SCORES:
        (folder / name).unlink()
        assert not is_scored(folder)
        assert score_run(folder)
        assert contents(folder) == before


def test_stale_scores_are_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_scored(folder)
    monkeypatch.setattr(scoring, "METRICS_VERSION", 99)
    assert not is_scored(folder)
    monkeypatch.undo()
    path = folder / "predictions.jsonl"
    path.write_text(path.read_text().replace("name3", "name4"))
    assert not is_scored(folder)
    score_run(folder)
    assert is_scored(folder)
    assert scores(folder)["q4"]["em"] == 1
    path.unlink()
    assert not is_scored(folder)


def test_a_run_is_scored_from_within_its_folder(folder: Path, monkeypatch) -> None:
    before = contents(folder)
    (folder / "scores.json").unlink()
    monkeypatch.chdir(folder)
    assert score_run(Path())
    assert contents(folder) == before


def test_an_unfinished_run_is_left_alone(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    write_json(folder / "manifest.json", {**manifest, "status": "running"})
    (folder / "scores.json").unlink()
    assert not score_run(folder)
    assert not (folder / "scores.json").exists()


@pytest.mark.parametrize("change", ["one less", "one twice", "another", "none"])
def test_predictions_that_are_not_the_questions(folder: Path, change: str) -> None:
    path = folder / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    changed = {
        "one less": lines[1:],
        "one twice": [lines[1], *lines[1:]],
        "another": [lines[0].replace('"q0"', '"other"'), *lines[1:]],
        "none": [],
    }[change]
    path.write_text("".join(changed))
    before = contents(folder)
    with pytest.raises(InputError, match="24 questions in order; run the same board again"):
        score_run(folder)
    assert contents(folder) == before


def test_missing_predictions(folder: Path) -> None:
    (folder / "predictions.jsonl").unlink()
    with pytest.raises(InputError, match=r"predictions\.jsonl: missing; run the same board"):
        score_run(folder)


@pytest.mark.parametrize("text", ["{", "[]\n", '{"idd": 1}\n'])
def test_damaged_gold_is_named(folder: Path, text: str) -> None:
    (gold,) = folder.parents[1].glob("questions-*.jsonl")
    gold.write_text(text)
    with pytest.raises(InputError, match=r"questions-.*jsonl: damaged"):
        score_run(folder)
    gold.unlink()
    with pytest.raises(InputError, match="gold of these runs is missing; run the same board"):
        score_run(folder)
