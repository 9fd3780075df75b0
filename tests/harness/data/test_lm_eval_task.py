"""Tasks of lm-eval as tasks of the harness, over local files of the shapes that the hub has."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.boards.config import parse_board
from harness.boards.file import read_board
from harness.boards.run import load_data
from harness.boards.task_entry import TaskFiles, TaskSource
from harness.data import lm_eval_task as module
from harness.data.lm_eval_task import lm_eval_task
from harness.data.questions import read_questions
from harness.errors import ConfigError, InputError
from harness.llm.powers import ALLOWED, REMOTE_CODE
from harness.runs.manifest import read_manifest
from tests.harness.conftest import CommandLine
from tests.harness.lab import write_lines

NQ = [
    {"question": "who wrote dune", "answer": ["Frank Herbert", "Herbert"]},
    {"question": "when did the tower open", "answer": ["1889"]},
]
TRIVIA = [
    {
        "question": "Where is the Louvre?",
        "question_id": f"tc_{n}",
        "answer": {"value": "Paris", "aliases": ["Paris, France", "Paris"], "type": "x"},
    }
    for n in range(2)
]
ARC = [
    {
        "id": f"M{n}",
        "stem": "Which one is hot?",
        "choices": {"text": ["ice", "fire"], "label": ["A", "B"]},
        "answerKey": "B",
    }
    for n in range(2)
]
SHAPES: dict[str, dict[str, Any]] = {
    "nq": {"doc_to_text": "Q: {{question}}?\nA:", "doc_to_target": "{{answer}}"},
    "trivia": {"doc_to_text": "Q: {{question}}", "doc_to_target": "{{answer.value}}"},
    "arc": {
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{stem}}\nAnswer:",
        "doc_to_target": "{{choices.label.index(answerKey)}}",
        "doc_to_choice": "{{choices.text}}",
    },
}
GENERATES = {"until": ["\n"]}


@pytest.fixture(autouse=True)
def _caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(ALLOWED, REMOTE_CODE)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)


class Lab:
    """Writes tasks of lm-eval with local data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def task(self, shape: str, docs: list[dict[str, Any]], train: Any = None, **more: Any) -> str:
        """A task's name for the harness."""
        files = {"validation": str(write_lines(self.folder / "validation.jsonl", docs))}
        values = {"task": f"own_{shape}", "dataset_path": "json", "validation_split": "validation"}
        if train:
            files["train"] = str(write_lines(self.folder / "train.jsonl", train))
            values["training_split"] = "train"
        values |= {"dataset_kwargs": {"data_files": files}, "metadata": {"version": 2.5}}
        values |= SHAPES[shape] | more
        if values.get("output_type", "generate_until") == "generate_until":
            values["generation_kwargs"] = GENERATES
            metric = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
            values["metric_list"] = [metric]
        path = self.folder / f"own_{shape}.yaml"
        path.write_text(yaml.safe_dump(values))
        return f"lm-eval:{path}"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def asked(name: str) -> list[tuple[str, str, tuple[str, ...]]]:
    questions = read_questions(lm_eval_task(name).questions)
    return [(q.id, q.text, q.golden_answers) for q in questions]


def test_questions_and_all_their_answers_are_read_from_each_shape(lab: Lab) -> None:
    assert asked(lab.task("nq", NQ)) == [
        ("validation-0", "who wrote dune", ("Frank Herbert", "Herbert")),
        ("validation-1", "when did the tower open", ("1889",)),
    ]
    place = ("Where is the Louvre?", ("Paris", "Paris, France"))
    assert asked(lab.task("trivia", TRIVIA)) == [("tc_0", *place), ("tc_1", *place)]
    # No field 'question': what lm-eval would ask. The right choice is a text, not its place.
    hot = ("Question: Which one is hot?\nAnswer:", ("fire",))
    assert asked(lab.task("arc", ARC)) == [("M0", *hot), ("M1", *hot)]


def test_it_runs_as_any_task_does_and_says_where_it_is_from(
    lab: Lab, cli: CommandLine, files: Path, tmp_path: Path
) -> None:
    train = [{"question": f"who is number {n}", "answer": ["x"]} for n in range(4)]
    name, runs = lab.task("nq", NQ, train), tmp_path / "runs"
    given = ("--corpus", files / "corpus.jsonl", "--latency-queries", 0, "--out", runs)
    done = cli("run", "--method", "bm25", "--task", name, *given)
    assert done.code == 0, done.err
    (folder,) = (runs / "lm-eval-own_nq" / "bm25").iterdir()
    manifest = read_manifest(folder)
    assert (manifest.config.task.split, manifest.config.task.questions) == ("validation", 2)
    assert manifest.config.method.params["shots"] == 4
    about = manifest.task_provenance
    assert (about["source"], about["task_version"], about["dataset"]) == ("lm-eval", "2.5", "json")
    assert about["lm_eval"] and about["dataset_fingerprint"]
    assert "lm-eval-own_nq (validation)" in cli("leaderboard", runs).out
    assert "finished before" in cli("run", "--method", "bm25", "--task", name, *given).err
    (shown,) = TaskSource(name=name).train_questions()[:1]
    assert (shown.text, shown.gold_doc_ids) == ("who is number 0", ())


def test_it_is_written_once_for_each_content(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = module._write
    monkeypatch.setattr(module, "_write", lambda *a: (written.append(a[1]), write(*a)))
    name = lab.task("nq", NQ)
    first = lm_eval_task(name)
    assert (lm_eval_task(name), len(written)) == (first, 1)
    assert asked(lab.task("nq", NQ, doc_to_target="{{answer[0]}}"))[0][2] == ("Frank Herbert",)
    assert asked(lab.task("nq", [*NQ, {"question": "a third", "answer": ["x"]}]))[2][1] == "a third"
    assert len(written) == 3


def test_without_training_documents_those_meant_to_be_shown_are_train_questions(lab: Lab) -> None:
    samples = [{"question": "shown", "answer": ["yes"]}, {"question": "no answer", "answer": []}]
    found = lm_eval_task(lab.task("nq", NQ, fewshot_config={"samples": samples}))
    assert found.train is not None
    assert [q.text for q in read_questions(found.train)] == ["shown"]
    assert found.provenance["train_dropped"] == "1 without a question or an answer"
    # Those that are asked are never shown.
    assert lm_eval_task(lab.task("nq", NQ, fewshot_split="validation")).train is None
    assert lm_eval_task(lab.task("nq", NQ)).train is None


@pytest.mark.parametrize(
    ("shape", "docs", "more", "problem"),
    [
        ("nq", [{"question": "who", "answer": []}], {}, "document 0 of split 'validation' has no"
         " answer; only tasks with a question and an answer"),
        ("arc", [{**ARC[0], "gold": 1}, {**ARC[1], "gold": -1}], {"doc_to_target": "gold"},
         "document 1 of split 'validation' has no answer"),
        ("nq", [{"question": "", "answer": ["x"]}], {"doc_to_text": ""}, "has no question"),
        ("nq", [{"question": "who", "answer": [["x"], ["y"]]}], {"doc_to_target": "answer"},
         "document 0 of split 'validation' has no answer"),
        ("nq", [NQ[0], {"question": "who", "answer": []}], {"doc_to_target": "{{answer[0] + ''}}"},
         "document 1 of split 'validation' cannot be read by .*doc_to_target .UndefinedError"),
        ("nq", NQ, {"output_type": "loglikelihood_rolling"}, "the likelihood of whole texts"),
        ("nq", NQ, {"unsafe_code": True}, r"it runs code that a model writes \(unsafe_code\)"),
        ("nq", NQ, {"dataset_kwargs": {"trust_remote_code": True}}, "trust_remote_code"),
        ("nq", NQ, {"dataset_kwargs": {"data_files": {"validation": "gone.jsonl"}}},
         "cannot be loaded .*gone.jsonl"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_by_name(lab, shape, docs, more, problem) -> None:
    name = lab.task(shape, docs, **more)
    task = f"lm-eval task '{name.removeprefix('lm-eval:')}'"
    with pytest.raises(InputError, match=problem) as caught:
        lm_eval_task(name)
    assert str(caught.value).startswith(task)
    assert "\n" not in str(caught.value)


def test_a_group_is_refused_with_its_members(tmp_path: Path) -> None:
    path = tmp_path / "several.yaml"
    path.write_text(yaml.safe_dump({"group": "g", "task": ["one", {"task": "two"}]}))
    with pytest.raises(ConfigError, match=r"is several tasks: one, two; name one of them"):
        lm_eval_task(f"lm-eval:{path}")
    path.write_text("- a list")
    with pytest.raises(InputError, match="several.yaml: not the YAML file of an lm-eval task"):
        lm_eval_task(f"lm-eval:{path}")
    with pytest.raises(InputError, match="gone.yaml: no such file"):
        lm_eval_task("lm-eval:gone.yaml")


def test_a_task_of_lm_evals_own_is_found_by_name() -> None:
    # Its data are on the hub, which no test reaches.
    with pytest.raises(InputError, match=r"'nq_open' cannot be loaded \(.*nq_open.*network"):
        lm_eval_task("lm-eval:nq_open")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("own_bq", "lm-eval has no task 'own_bq'; did you mean 'own_nq'"),
        ("all_of_own", "'all_of_own' is several tasks: own_nq, own_arc; name one of them"),
        ("tagged", "'tagged' is several tasks: own_arc, own_nq; name one of them"),
    ],
)
def test_a_name_that_is_no_single_task_says_what_there_is(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    from lm_eval.tasks import TaskManager

    for shape, docs in (("nq", NQ), ("arc", ARC)):
        lab.task(shape, docs, tag="tagged")
    group = {"group": "all_of_own", "task": ["own_nq", "own_arc"]}
    (lab.folder / "group.yaml").write_text(yaml.safe_dump(group))
    # In place of all that lm-eval ships, which it takes half a minute to read.
    manager = partial(TaskManager, include_path=lab.folder, include_defaults=False)
    monkeypatch.setattr("lm_eval.tasks.TaskManager", manager)
    with pytest.raises(ConfigError, match=problem):
        lm_eval_task(f"lm-eval:{name}")


def test_files_that_do_not_belong_are_refused_before_lm_eval_is_asked(
    lab: Lab, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.boards.task_entry.lm_eval_task", None)
    corpus = files / "corpus.jsonl"
    for entry, problem in (
        (TaskSource(name="lm-eval:nq_open"), "needs a corpus to search; give one: --corpus FILE"),
        (TaskSource(name="lm-eval:nq_open", split="test"), "leave out the split"),
        (TaskSource(name="lm-eval:nq_open", files=TaskFiles(corpus="no.jsonl")), "file not found"),
        (
            TaskSource(name="lm-eval:nq_open", files=TaskFiles(corpus=corpus, questions=corpus)),
            "has the questions that lm-eval evaluates: leave out",
        ),
    ):
        with pytest.raises(InputError, match=problem):
            entry.load()


def test_a_file_of_ones_own_can_run_code_and_needs_the_power(
    lab: Lab, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab.folder / "own.py").write_text("import pathlib\npathlib.Path(__file__ + '.ran').touch()\n")
    file = Path(lab.task("nq", NQ).removeprefix("lm-eval:"))
    file.write_text(file.read_text() + "process_docs: !function own.process\n")
    source = TaskSource(name=f"lm-eval:{file}", files=TaskFiles(corpus=files / "corpus.jsonl"))
    monkeypatch.setenv(ALLOWED, "")
    for use in (source.load, source.train_questions):
        with pytest.raises(ConfigError, match="runs code that its file names.*--allow remote-code"):
            use()
    assert not (lab.folder / "own.py.ran").exists()


def test_a_board_names_it_beside_itself(lab: Lab, files: Path, tmp_path: Path) -> None:
    lab.task("nq", NQ)
    entry = {"name": "lm-eval:./own_nq.yaml", "files": {"corpus": "files/corpus.jsonl"}}
    content = {"name": "b", "tasks": [entry], "methods": ["bm25"], "limit": 1}
    path = tmp_path / "b.yaml"
    path.write_text(json.dumps(content))
    (data,) = load_data(read_board(str(path)))
    assert (data.name, data.limit, len(data.questions)) == ("lm-eval-own_nq", 1, 1)
    bare = {**content, "tasks": ["lm-eval:nq_open"]}
    assert parse_board(bare, "b").tasks[0].name == "lm-eval:nq_open"
