"""What a plan can know is refused before a model is loaded, an index built, or a board prepared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.boards.config import parse_board
from harness.boards.run import plan_runs, run_plans
from harness.errors import CapabilityError, InputError
from harness.registry import register_method
from tests.harness.conftest import CommandLine
from tests.harness.lab import Ask, CountingModel, quiet, without_torch

SERVER = {"name": "far", "kind": "openai", "path": "m", "base_url": "http://localhost:1/v1"}


class Vectors(Ask):
    """Reads vectors."""

    needs = frozenset({"soft-prompts"})


class Tuned(Ask):
    """Brings an adapter."""

    class Params(Ask.Params):
        shots: int = 0

    @property
    def adapter(self) -> Path | None:
        return Path(__file__).parent

    @property
    def inputs(self) -> dict[str, str]:
        return {}


class Trained(Ask):
    """Asks a model that was trained for it."""

    needs_training_for = "trained"
    prompted_variant = "ask"


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)
    monkeypatch.setattr("harness.boards.run.adapter_fingerprint", lambda _: "0")
    for name, cls in {"vectors": Vectors, "tuned": Tuned, "trained": Trained, "ask": Ask}.items():
        register_method(name, cls)


@pytest.fixture
def plans(files: Path):
    def make(method: Any, *, train: bool = True, model: Any = "smollm2-135m-instruct") -> list:
        kinds = ("questions", "corpus", *(("train",) if train else ()))
        paths = {kind: str(files / f"{kind}.jsonl") for kind in kinds}
        content = {
            "name": "b", "methods": method if isinstance(method, list) else [method],
            "models": [model], "tasks": [{"name": "toy", "files": paths}],
            "latency": {"queries": 0},
        }  # fmt: skip
        return list(plan_runs(parse_board(content, "b.yaml"), "cpu"))

    return make


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("harness.llm.open.open_model", fail)
    monkeypatch.setattr("harness.retrieval.open.open_retriever", fail)


def test_too_few_train_questions(plans, nothing_loaded, tmp_path: Path) -> None:
    chosen = {"name": "bm25", "params": {"shots": 4}}
    with pytest.raises(InputError, match="4 demonstrations wanted, 0 train questions there"):
        run_plans(plans(chosen, train=False), tmp_path / "runs", quiet())
    many = {"name": "bm25", "params": {"shots": 7}}
    with pytest.raises(InputError, match="7 demonstrations wanted, 6 train questions there"):
        run_plans(plans(many), tmp_path / "runs", quiet())
    assert not (tmp_path / "runs").exists()


def test_a_method_that_reads_gold_passages_needs_a_task_that_names_some(
    plans, files: Path, nothing_loaded, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (files / "questions.jsonl").read_text().splitlines()]
    bare = [{**row, "metadata": {}, "gold_doc_ids": []} for row in rows]
    (files / "questions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in bare))
    message = r"task 'toy': no question names its gold passages .*'Parametric QA, gold selection'"
    with pytest.raises(InputError, match=message):
        run_plans(plans("parametric-qa-gold"), tmp_path / "runs", quiet())


@pytest.mark.parametrize("kind", ["openai", "lm-eval"])
def test_a_server_reads_no_vectors(plans, nothing_loaded, tmp_path: Path, kind: str) -> None:
    model = {"name": "far", "kind": kind, "path": "m"}
    with pytest.raises(CapabilityError, match="needs the capability 'soft-prompts', .*'far' lacks"):
        run_plans(plans("vectors", model=model), tmp_path / "runs", quiet())


def test_a_server_takes_no_adapter(plans, nothing_loaded, tmp_path: Path) -> None:
    with pytest.raises(CapabilityError, match="model 'far' cannot take the method's adapter"):
        run_plans(plans("tuned", model=SERVER), tmp_path / "runs", quiet())


def test_a_model_that_was_not_trained_for_the_method(plans, nothing_loaded, tmp_path) -> None:
    with pytest.raises(CapabilityError, match="training for 'trained' .*; use the method 'ask'"):
        run_plans(plans("trained"), tmp_path / "runs", quiet())


def test_what_only_an_open_model_knows_is_left_to_it(plans, tmp_path, monkeypatch) -> None:
    class Scores(Ask):
        needs = frozenset({"logprobs"})
        needs_tokens = ("[Retrieval]",)

    register_method("scores", Scores)
    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: CountingModel())
    with pytest.raises(CapabilityError, match=r"\[Retrieval\].* 'rules' lacks"):
        run_plans(plans("scores", model=SERVER), tmp_path / "runs", quiet())


def test_a_refused_run_does_not_stop_the_others(plans, tmp_path, monkeypatch) -> None:
    from harness.errors import RunFailedError

    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: CountingModel())
    both = plans(["vectors", "ask"], model=SERVER)
    with pytest.raises(RunFailedError, match="stopped 1 times"):
        run_plans(both, tmp_path / "runs", quiet())
    assert [plan.is_complete(tmp_path / "runs") for plan in both] == [False, True]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tasks": [{"name": "toy", "files": {"questions": "q.jsonl", "corpus": "c.jsonl"}}]},
         "q.jsonl: file not found"),
        ({"methods": [{"name": "ask", "params": {"shot": 1}}]}, "no parameter 'shot'; did you mea"),
        ({"models": ["smollm2"]}, "unknown model 'smollm2'"),
        ({"models": ["path:gone"]}, "gone is no transformers model folder"),
        ({"prepare": [{"name": "x", "train": "none"}]}, "no recipe 'none'"),
        ({"prepare": [{"name": "x", "train": "proposal-cpu", "changes": {"tasks": ["nqq"]}}]},
         "unknown task 'nqq'; did you mean 'nq'"),
        ({"prepare": [{"name": "x", "train": "proposal-cpu", "changes": {"model": "openai:m"}}]},
         "model 'm' cannot be trained"),
        ({"prepare": [{"name": "x", "evaluate-write": {"task": "nq", "slot": 1}}]}, "slot"),
    ],
)  # fmt: skip
def test_all_is_looked_at_before_anything_is_prepared(
    cli: CommandLine, tmp_path: Path, monkeypatch, change: dict[str, Any], problem: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("prepared")

    monkeypatch.setattr("methods.parametric_qa.cli.prepare.Train.make", fail)
    monkeypatch.setattr("methods.parametric_qa.cli.prepare.EvaluateWrite.make", fail)
    fine = {"name": "fine", "train": "proposal-cpu"}
    content = {"name": "b", "tasks": ["nq"], "methods": ["ask"], **change}
    content["prepare"] = [fine, *change.get("prepare", [])]
    path = tmp_path / "b.yaml"
    path.write_text(yaml.safe_dump(content))
    assert problem in cli.refuses("run", path, "--out", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
