"""Boards over own files without train questions, or with ones that the corpus knows nothing of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.boards.config import parse_board
from harness.boards.run import plan_runs
from harness.registry import register_method
from harness.runs.manifest import read_manifest
from harness.runs.plan import RunPlan
from tests.harness.conftest import CommandLine
from tests.harness.lab import Ask, CountingModel, Remember, write_lines

QUICK = ("--latency-queries", 0, "--limit", 2)


class AtLeastOne(Ask):
    """Shows one demonstration at least."""

    class Params(Ask.Params):
        shots: int = 3

        def model_post_init(self, _: Any) -> None:
            if self.shots < 1:
                raise ValueError("shows one at least")


@pytest.fixture(autouse=True)
def _methods() -> None:
    register_method("ask", Ask)
    register_method("at-least-one", AtLeastOne)


def own(files: Path, *, train: bool = True) -> list[object]:
    kinds = ["questions", "corpus", *(["train"] if train else [])]
    return [word for kind in kinds for word in (f"--{kind}", files / f"{kind}.jsonl")]


def train_rows(files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (files / "train.jsonl").read_text().splitlines()]


def planned(files: Path, method: Any = "bm25", *, train: bool = True) -> RunPlan:
    paths = {k: str(files / f"{k}.jsonl") for k in ("questions", "corpus", "train")}
    if not train:
        del paths["train"]
    content = {"name": "b", "methods": [method], "tasks": [{"name": "toy", "files": paths}]}
    (plan,) = plan_runs(parse_board(content, "b.yaml"), "cpu")
    return plan


def the_run(runs: Path, method: str) -> Path:
    (folder,) = (runs / "toy" / method).iterdir()
    return folder


def test_without_a_train_file_nothing_is_shown_and_everybody_is_told(cli, files, tmp_path) -> None:
    runs = tmp_path / "runs"
    arguments = ("--method", "bm25", "--task", "toy", "--out", runs, *QUICK)
    done = cli("run", *arguments, *own(files, train=False))
    assert done.code == 0, done.err
    note = "no train questions to show, so shots=0 in place of 4"
    before, _, _ = done.err.partition("loading ")
    assert f"demonstrations for toy: {note}\n" in before
    manifest = read_manifest(the_run(runs, "bm25"))
    assert manifest.config.method.params["shots"] == 0
    assert (manifest.demonstrations, manifest.non_default_params) == ((note,), {"shots": 0})
    board = cli("leaderboard", runs).out
    assert "bm25 (shots=0)" in board
    assert f"Demonstrations for toy: {note}." in board
    # With a train file it is another run, which needs no such words.
    assert cli("run", *arguments, *own(files)).code == 0
    assert len(list((runs / "toy" / "bm25").iterdir())) == 2
    assert cli("leaderboard", runs).out.count("Demonstrations for toy") == 1


def test_fewer_train_questions_than_the_default_are_all_shown(files) -> None:
    write_lines(files / "train.jsonl", train_rows(files)[:1])
    plan = planned(files)
    assert plan.method.params.shots == 1
    assert plan.demonstrations == ("1 train question to show, so shots=1 in place of 4",)


def test_what_was_chosen_or_fits_stays_as_it_is(files) -> None:
    for method in ("bm25", {"name": "bm25", "params": {"shots": 0}}):
        assert planned(files, method).demonstrations == ()
    assert planned(files, {"name": "bm25", "params": {"shots": 4}}, train=False).method.params == (
        planned(files).method.params
    )
    chosen = planned(files, {"name": "bm25", "params": {"shots": 0}}, train=False)
    assert chosen.demonstrations == ()
    assert chosen.config.run_id == planned(files, train=False).config.run_id


def test_a_method_that_takes_no_less_is_refused_by_its_own_number(cli, files, tmp_path) -> None:
    arguments = ("--task", "toy", "--out", tmp_path / "runs", *own(files, train=False))
    line = cli.refuses("run", "--method", "at-least-one", *arguments)
    assert "3 demonstrations wanted, 0 train questions there; pass --train FILE" in line


def test_gold_passages_of_train_questions_need_not_be_in_the_corpus(cli, files, tmp_path) -> None:
    rows = train_rows(files)
    for row in rows[1:]:
        row["metadata"] = {"gold_doc_ids": ["elsewhere"]}
    write_lines(files / "train.jsonl", rows)
    plan = planned(files)
    assert plan.demonstrations == ()
    assert plan.data.provenance["train_gold_elsewhere"].startswith(
        f"5 name gold passages that the corpus lacks, the first 'q25' ({files / 'train.jsonl'}:2"
    )
    prompts: list[str] = []
    cli.model = CountingModel(lambda request: prompts.append(str(request.prompt)))
    given = ("--task", "toy", "--out", tmp_path / "runs", *QUICK, *own(files))
    assert cli("run", "--method", "bm25", "--seed", 3, *given).code == 0
    assert any("How is number 27 called?" in prompt for prompt in prompts)


@pytest.mark.parametrize("method", ["ircot", "corag-prompted", "adaptive-rag-llm-router"])
def test_a_method_that_shows_steps_says_where_no_passage_tells_them(files, method: str) -> None:
    rows = [{**row, "metadata": {}} for row in train_rows(files)]
    write_lines(files / "train.jsonl", rows)
    note = "no demonstration shows steps, for lack of gold passages in the corpus"
    assert planned(files, method).demonstrations == (f"{method}: {note}",)
    assert planned(files, {"name": method, "params": {"shots": 0}}).demonstrations == ()


def test_a_memory_that_needs_train_questions_is_refused_before_a_model_is_loaded(
    cli: CommandLine, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("harness.llm.open.open_model", fail)
    given = ("--task", "toy", "--out", tmp_path / "runs", *own(files, train=False))
    line = cli.refuses("run", "--method", "adaptive-rag", *given)
    assert "Adaptive-RAG learns from train questions; give some: --train FILE" in line
    line = cli.refuses("run", "--method", "adaptive-rag-dataset-prior", *given)
    assert "counts train questions' hops; give --train FILE" in line
    given = ("--task", "toy", "--out", tmp_path / "runs", *own(files))
    line = cli.refuses("run", "--method", "adaptive-rag", "-p", "router=gone", *given)
    assert "no router 'gone'" in line
    line = cli.refuses("run", "--method", "parametric-qa", "-p", "init=encoder", *given)
    assert "init 'encoder' needs shared parts that hold a trained encoder" in line
    line = cli.refuses("run", "--method", "standard-rag", "-p", "retriever=e5-base-v2", *given)
    assert "encoder e5-base-v2: cannot get intfloat/e5-base-v2 from the hub" in line


def test_what_is_written_before_is_not_checked_again(cli, files, tmp_path) -> None:
    class Careful(Remember):
        refusing = False

        def check_write(self, train: object) -> None:
            assert not self.refusing

    register_method("careful", Careful)
    given = ("--task", "toy", "--out", tmp_path / "runs", *own(files), "--latency-queries", 0)
    assert cli("run", "--method", "careful", *given, "--limit", 2).code == 0
    Careful.refusing = True
    assert cli("run", "--method", "careful", *given, "--limit", 3).code == 0


def test_nothing_is_prepared_for_a_method_that_would_be_refused(cli, tmp_path, files) -> None:
    paths = {kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus")}
    content = {
        "name": "b", "tasks": [{"name": "toy", "files": paths}],
        "methods": [{"name": "bm25", "params": {"shots": 4}}],
        "prepare": [{"name": "fine", "train": "proposal-cpu"}],
    }  # fmt: skip
    path = tmp_path / "b.yaml"
    path.write_text(json.dumps(content))
    line = cli.refuses("run", path, "--out", tmp_path / "runs")
    assert "4 demonstrations wanted, 0 train questions there" in line
    assert not (tmp_path / "runs").exists()
