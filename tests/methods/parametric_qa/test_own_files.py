"""Every command that takes a task takes one of the user's own: files, a layout, a card's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from harness.cli import main as cli
from harness.data.trained_on import TRAINED_ON, write_record
from harness.records import Question
from tests.methods.parametric_qa.lab import load_tiny
from tests.methods.parametric_qa.small_tasks import write_shared, write_task
from tests.methods.parametric_qa.training_lab import recipe

EVALUATIONS = {
    "evaluate-write": ["--passages", 3, "--steps", 1, "--max-tokens", 8],
    "evaluate-update": ["--facts", 1, "--unchanged", 1, "--no-text"],
    "evaluate-forgetting": ["--limit", 1, "--passages", 1],
}


@pytest.fixture
def call(tiny_model_dir, monkeypatch, capsys):
    def run(*arguments: object) -> str:
        words = [*arguments, "--model", f"path:{tiny_model_dir}"]
        monkeypatch.setattr("sys.argv", ["memory-harness", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        assert stopped.value.code in (0, 2), printed
        return printed.out if stopped.value.code == 0 else printed.err

    return run


@pytest.fixture
def shared(tiny_model_dir, tmp_path) -> Path:
    # In the style that a model named by its path is asked in.
    return write_shared(load_tiny(tiny_model_dir), tmp_path / "shared", style="chat")


@pytest.fixture
def places(tmp_path) -> dict[str, list[object]]:
    """The small task as a card's folder, as files, and in FlashRAG's layout, as options."""
    card = write_task(tmp_path / "tasks")
    files = {k: card / "sample" / f"{k}.jsonl" for k in ("questions", "train", "corpus")}
    layout = tmp_path / "flashrag" / "nq"
    layout.mkdir(parents=True)
    for kind, name in (("questions", "dev"), ("train", "train"), ("corpus", "corpus")):
        shutil.copy(files[kind], layout / f"{name}.jsonl")
    own = [part for kind, path in files.items() for part in (f"--{kind}", path)]
    return {
        "card": ["--task", card],
        "files": ["--task", "mine", *own],
        "layout": ["--task", "nq", "--split", "dev", "--data-dir", layout.parent],
    }


@pytest.mark.parametrize(
    ("command", "place"),
    [
        *(("evaluate-write", place) for place in ("card", "files", "layout")),
        ("evaluate-update", "files"),
        ("evaluate-forgetting", "layout"),
    ],
)
def test_evaluations_take_it(call, places, shared, tmp_path, command, place):
    out = tmp_path / "out"
    call(command, *places[place], *EVALUATIONS[command], "--shared", shared, "--out", out)
    summary = json.loads((out / "summary.json").read_text())
    name = {"card": "small", "files": "mine", "layout": "nq"}[place]
    assert name in json.dumps(summary)


@pytest.mark.parametrize("place", ["card", "files", "layout"])
def test_training_takes_it(call, places, tiny_model_dir, tmp_path, place):
    plan = tmp_path / "plan.yaml"
    values = recipe(model=f"path:{tiny_model_dir}", steps=0).model_dump(mode="json")
    plan.write_text(yaml.safe_dump(values | {"selection": {"steps": 0}}))
    said = call("train", plan, "--out", tmp_path / "out", *places[place])
    assert "validation recall@5" in said
    (learnt,) = json.loads((tmp_path / "out" / TRAINED_ON).read_text())["questions"].values()
    assert len(learnt.split()) == 8


def test_a_corpus_alone_is_enough_to_write(call, places, tmp_path):
    corpus = tmp_path / "tasks" / "small" / "sample" / "corpus.jsonl"
    options = ["--task", "mine", "--corpus", corpus, *EVALUATIONS["evaluate-write"]]
    call("evaluate-write", *options, "--out", tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "summary.json").read_text())["facts"]
    assert facts["task"] == "mine"


def test_files_are_of_one_task(call, places, tmp_path):
    several = [*places["files"], "--task", "nq"]
    assert "give one --task" in call("train", "proposal-cpu", "--out", tmp_path / "out", *several)
    none = places["files"][2:]
    assert "name it: --task NAME" in call("train", "proposal-cpu", "--out", tmp_path / "out", *none)


@pytest.mark.parametrize("command", ["evaluate-update", "evaluate-forgetting"])
def test_evaluations_leave_out_what_the_parts_learnt_from(
    call, places, shared, tmp_path, command, caplog
):
    learnt = [Question("x", "WHO founded the Lighthouse", ("x",))]
    write_record(shared, {"other": learnt})
    values = json.loads((shared / "shared.json").read_text())
    values["training"] = {"corpora": {}}
    (shared / "shared.json").write_text(json.dumps(values))
    out = tmp_path / "out"
    options = [*EVALUATIONS[command], "--shared", shared, "--out", out]
    more = {
        "evaluate-update": ["--facts", 2, "--unchanged", 50],
        "evaluate-forgetting": ["--limit", 12],
    }[command]
    call(command, *places["card"], *options, *more)
    assert "1 of 12 questions left out" in caplog.text
    files = [path.read_text() for path in out.glob("*.csv")]
    assert files and not any("the Lighthouse?" in text for text in files)
