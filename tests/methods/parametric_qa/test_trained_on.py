"""Shared parts record what they learnt from, and any task can teach them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from harness.boards.config import parse_board
from harness.boards.run import plan_runs
from harness.boards.task_entry import TaskSource
from harness.data.leaks import question_hash
from harness.data.trained_on import TRAINED_ON, read_record, write_record
from harness.errors import ConfigError, HarnessError, InputError
from harness.records import Question
from harness.registry import task_folder
from methods.parametric_qa.controls import ParametricQABM25, ParametricQAClosedBook
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.shared.bundle import find_bundle, shipped_names
from methods.parametric_qa.train.account import record_training
from methods.parametric_qa.train.from_recipe import train
from methods.parametric_qa.train.recipe import read_recipe
from methods.parametric_qa.train.training_data import read_training_task, read_training_tasks
from tests.methods.parametric_qa.lab import quiet
from tests.methods.parametric_qa.small_tasks import write_task
from tests.methods.parametric_qa.training_lab import recipe, run, toy_task


@pytest.fixture
def files(tmp_path) -> dict[str, str]:
    """The small task as files of one's own, without a card."""
    sample = write_task(tmp_path) / "sample"
    return {kind: str(sample / f"{kind}.jsonl") for kind in ("questions", "train", "corpus")}


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_training_notes_every_question_that_it_saw(tiny_model_dir, tmp_path, mode):
    task = toy_task()
    run(tiny_model_dir, task, tmp_path, steps=1, tuning={"mode": mode})
    known = read_record(tmp_path, "x").questions
    assert known == {question_hash(q.text) for q in (*task.train, *task.validation)}
    assert len(known) == 4


def test_the_shipped_record_is_what_the_command_makes(tmp_path):
    for name in shipped_names():
        folder = tmp_path / name
        shutil.copytree(find_bundle(name), folder)
        shipped = (folder / TRAINED_ON).read_bytes()
        (folder / TRAINED_ON).unlink()
        if sources := json.loads((folder / "shared.json").read_text())["recipe"].get("sources"):
            with pytest.raises(ConfigError, match=f"also learnt from {', '.join(sources)}"):
                record_training(folder)
            continue
        assert set(record_training(folder)) == {"nq", "triviaqa", "hotpotqa", "musique"}
        assert (folder / TRAINED_ON).read_bytes() == shipped
        path = folder / "shared.json"
        values = json.loads(path.read_text())
        values["training"]["train questions"]["nq"] = 7
        path.write_text(json.dumps(values))
        with pytest.raises(ConfigError, match="used 7 train questions of 'nq', 395 are there now"):
            record_training(folder)


@pytest.mark.parametrize("cls", [ParametricQA, ParametricQAClosedBook, ParametricQABM25])
def test_a_public_dev_split_is_not_asked_by_what_learnt_from_it(tmp_path, cls):
    """NQ's shipped train questions are of its dev split."""
    sample = task_folder("nq") / "sample"
    lines = (sample / "train.jsonl").read_text(encoding="utf-8").split("\n")[:20]
    asked = (sample / "questions.jsonl").read_text(encoding="utf-8").split("\n")[:5]
    (tmp_path / "dev.jsonl").write_text("\n".join([*asked, *lines]), encoding="utf-8")
    name = {ParametricQA: "parametric-qa", ParametricQABM25: "parametric-qa-bm25"}.get(
        cls, "parametric-qa-closed-book"
    )
    files = {"questions": str(tmp_path / "dev.jsonl"), "corpus": str(sample / "corpus.jsonl")}
    content = {"name": "b", "tasks": [{"name": "nq-dev", "files": files}]}
    content["methods"] = [{"name": name, "params": {"shots": 0}}]
    with pytest.raises(InputError, match="of 25 questions are among those that shared parts 'smol"):
        list(plan_runs(parse_board(content, "b.yaml"), "cpu"))
    content["leave_out_trained"] = True
    (plan,) = plan_runs(parse_board(content, "b.yaml"), "cpu")
    known = cls().trained_on()[0].questions
    assert 5 <= len(plan.data.questions) < 10
    assert not {question_hash(q.text) for q in plan.data.questions} & known


def test_files_of_ones_own_teach(tiny_model_dir, files, tmp_path):
    """Beside the recipe, and with questions that are asked they are kept out."""
    place = tmp_path / "small" / "mine.yaml"
    below = {kind: f"sample/{kind}.jsonl" for kind in files}
    values = recipe(model=f"path:{tiny_model_dir}", steps=1).model_dump(mode="json")
    place.write_text(yaml.safe_dump({**values, "tasks": [{"name": "mine", "files": below}]}))
    list(train(str(place), tmp_path / "out", {}, "cpu", quiet()))
    account = json.loads((tmp_path / "out" / "shared.json").read_text())
    assert list(account["training"]["corpora"]) == ["mine"]
    assert account["recipe"]["tasks"][0]["files"]["train"] == files["train"]
    lines = Path(files["train"]).read_text(encoding="utf-8").splitlines()
    taught = {json.loads(line)["question"] for line in lines}
    known = read_record(tmp_path / "out", "x").questions
    assert known and known <= set(map(question_hash, taught))
    before = (tmp_path / "out" / TRAINED_ON).read_bytes()
    assert record_training(tmp_path / "out") == {"mine": len(known)}
    assert (tmp_path / "out" / TRAINED_ON).read_bytes() == before


def test_what_the_model_had_learnt_from_stays_noted(tiny_model_dir, files, tmp_path):
    """Else a model tuned twice would be asked what it learnt from first."""
    model = Path(shutil.copytree(tiny_model_dir, tmp_path / "first" / "model"))
    write_record(model.parent, {"first": [Question("q", "Who was first?", ("x",))]})
    place = tmp_path / "mine.yaml"
    changes = {"model": f"path:{model}", "steps": 1, "tuning": {"mode": "full"}}
    values = recipe(**changes).model_dump(mode="json")
    place.write_text(yaml.safe_dump({**values, "tasks": [{"name": "mine", "files": files}]}))
    list(train(str(place), tmp_path / "out", {}, "cpu", quiet()))
    known = read_record(tmp_path / "out", "x").questions
    assert question_hash("Who was first?") in known and len(known) == 9
    before = (tmp_path / "out" / TRAINED_ON).read_bytes()
    record_training(tmp_path / "out")
    assert (tmp_path / "out" / TRAINED_ON).read_bytes() == before


def test_train_questions_and_a_corpus_are_enough(files):
    source = {"name": "mine", "files": {k: files[k] for k in ("train", "corpus")}}
    task = read_training_task(TaskSource.model_validate(source))
    assert len(task.questions) == 8
    asked = read_training_task(TaskSource.model_validate({"name": "mine", "files": files}))
    assert len(asked.free) < len(task.free)


def test_a_folder_in_flashrags_layout_teaches(files, tmp_path):
    folder = tmp_path / "data" / "nq"
    folder.mkdir(parents=True)
    for kind, name in (("questions", "dev"), ("train", "train"), ("corpus", "corpus")):
        shutil.copy(files[kind], folder / f"{name}.jsonl")
    source = {"name": "nq", "split": "dev", "files": {"data_dir": str(folder.parent)}}
    assert len(read_training_task(TaskSource.model_validate(source)).questions) == 8


def test_the_folder_of_a_card_teaches(files, tmp_path):
    task = read_training_task(TaskSource.model_validate(str(tmp_path / "small")))
    assert (task.name, len(task.questions)) == ("small", 8)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (["nqq"], "unknown task 'nqq'; did you mean 'nq'"),
        (["./nowhere"], "unknown task './nowhere': there is no nowhere/task.yaml"),
        (["nq", "nq"], "task 'nq' stands twice"),
        (
            [{"name": "mine", "files": {"train": "t.jsonl"}}],
            "needs the corpus of its train questions",
        ),
    ],
)
def test_tasks_that_cannot_teach_are_named(tasks, message):
    with pytest.raises(HarnessError, match=message):
        read_training_tasks(map(TaskSource.model_validate, tasks))


def test_a_plain_name_stays_one_in_what_is_written():
    """Recipes of earlier releases keep their fingerprints."""
    assert read_recipe("proposal-cpu").model_dump(mode="json")["tasks"] == ["nq"]


def test_a_train_question_that_is_asked_under_another_id_teaches_nothing(files):
    asked = Path(files["questions"])
    row = json.loads(Path(files["train"]).read_text(encoding="utf-8").split("\n")[0])
    row |= {"id": "elsewhere", "question": row["question"].upper()}
    row["metadata"] = {"gold_doc_ids": ["d-other-0"]}
    asked.write_text(asked.read_text(encoding="utf-8") + json.dumps(row), encoding="utf-8")
    task = read_training_task(TaskSource.model_validate({"name": "mine", "files": files}))
    assert len(task.questions) == 7
    assert question_hash(row["question"]) not in {question_hash(q.text) for q in task.questions}
