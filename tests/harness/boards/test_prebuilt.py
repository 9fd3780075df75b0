"""Prebuilt indexes in boards and on the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from harness.boards.file import read_board
from harness.boards.retrievers import Retrievers
from harness.boards.run import plan_runs, run_plans
from harness.cli.run import method_params
from harness.errors import InputError, RunFailedError
from harness.lm_eval_plugin.settings import parse_settings
from harness.retrieval.prebuilt import FaissSpec, shown
from tests.harness.retrieval.test_prebuilt import bm25s_index, faiss_index

BOARD = """name: b
tasks: [nq]
limit: 2
methods:
  - {name: ircot, params: {retriever: "bm25s:indexes/bm25"}}
  - {name: standard-rag, params: {retriever: "faiss:./indexes/e5.index@all-minilm-l6-v2"}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from harness.data.corpus import Corpus
    from tests.harness.retrieval.helpers import SAMPLES

    folder = tmp_path_factory.mktemp("boards")
    (folder / "indexes").mkdir()
    corpus = Corpus.open(SAMPLES / "nq" / "sample" / "corpus.jsonl")
    bm25s_index(folder / "indexes" / "bm25", corpus, "english")
    faiss_index(folder / "indexes" / "e5.index", rows=len(corpus))
    (folder / "board.yaml").write_text(BOARD)
    return folder


def test_paths_begin_beside_the_board_and_change_no_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    board = read_board(str(folder / "board.yaml"))
    assert [entry.params["retriever"] for entry in board.methods] == [
        f"bm25s:{folder / 'indexes' / 'bm25'}",
        f"faiss:{folder / 'indexes' / 'e5.index'}@all-minilm-l6-v2",
    ]
    shutil.copytree(folder, tmp_path / "copy")
    moved = read_board(str(tmp_path / "copy" / "board.yaml"))
    plans, others = list(plan_runs(board, "cpu")), list(plan_runs(moved, "cpu"))
    assert [p.config.run_id for p in plans] == [p.config.run_id for p in others]
    assert all(str(folder) not in str(p.config.written()) for p in plans)
    assert [p.config.retriever["kind"] for p in plans] == ["bm25s", "faiss"]
    names = [shown(p.method.params.model_dump())["retriever"] for p in plans]
    assert names == ["bm25s:bm25", "faiss:e5.index@all-minilm-l6-v2"]


def test_an_index_that_does_not_fit_stops_the_run_before_the_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was opened")

    monkeypatch.setattr("harness.boards.run.open_llm", never)
    board = read_board(str(folder / "board.yaml"))
    cut = board.model_copy(update={"methods": board.methods[:1]})
    tasks = tuple(task.model_copy(update={"documents": 100}) for task in cut.tasks)
    plans = list(plan_runs(cut.model_copy(update={"tasks": tasks}), "cpu"))
    with pytest.raises(InputError, match="but the corpus has 100"):
        run_plans(plans, tmp_path / "runs", Console(quiet=True))


def test_the_command_line_takes_a_prefix_with_a_colon_and_a_blank() -> None:
    name = "faiss:e5.index@./e5,query_prefix=query: ,normalize=true"
    assert method_params([f"retriever={name}", "k=3"]) == {"retriever": name, "k": 3}
    spec = FaissSpec.parse(name)
    assert (spec.file, spec.encoder) == ("e5.index", "./e5")
    assert spec.options == {"query_prefix": "query: ", "normalize": "true"}


def test_lm_eval_reads_a_parameter_as_the_command_line_does() -> None:
    name = "faiss:e5.index@./e5,normalize=true,query_prefix=query: "
    given = {"method": "standard-rag", "retriever": name, "k": "3", "corpus": "any.jsonl"}
    (entry,) = parse_settings(given).board.methods
    assert entry.params == method_params([f"retriever={name}", "k=3"])


def test_an_index_that_changed_since_it_was_planned_is_not_opened(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    board = read_board(str(tmp_path / "copy" / "board.yaml"))
    plan = next(iter(plan_runs(board, "cpu")))
    retrievers = Retrievers(Console(quiet=True))
    assert retrievers.open(plan) is retrievers.open(plan)
    with (tmp_path / "copy" / "indexes" / "bm25" / "params.index.json").open("a") as file:
        file.write("\n")
    with pytest.raises(RunFailedError, match="changed since the board was planned"):
        Retrievers(Console(quiet=True)).open(plan)
