"""Boards: what a file may say, which runs it means, and how they are gone through."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from rich.console import Console

import harness.llm.open
import harness.retrieval.open
from harness import registry
from harness.boards.config import parse_board
from harness.boards.file import read_board
from harness.boards.run import plan_runs, run_plans
from harness.errors import ConfigError, HarnessError, InputError, RunFailedError
from harness.llm.base import LanguageModel
from harness.method import Method, MethodCard, MethodParams
from harness.records import Prediction, Query
from harness.registry import register_method
from harness.runs.manifest import read_manifest
from harness.testing.models import WordRetriever
from tests.harness.lab import Ask, CountingModel, quiet, without_torch, write_task

BOARD = {"name": "b", "tasks": ["nq"], "methods": ["bm25"]}


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)


@pytest.fixture
def board(files: Path) -> Callable[..., Any]:
    """Plans of a board over the small task."""
    paths = {kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus", "train")}

    def make(*methods: Any, **values: Any) -> list:
        content = {
            "name": "b", "methods": methods, "tasks": [{"name": "toy", "files": paths}],
            "latency": {"queries": 0}, **values,
        }  # fmt: skip
        return list(plan_runs(parse_board(content, "board.yaml"), "cpu"))

    return make


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"methodz": [], "methods": None}, r"unknown key 'methodz'; did you mean 'methods'\?"),
        ({"tasks": [{"name": "nq", "limt": 3}]}, r"'tasks.0.limt'; did you mean 'limit'\?"),
        ({"tasks": [{"name": "nq", "files": {"corpsu": "x"}}]}, r"did you mean 'corpus'\?"),
        ({"latency": {"query": 1}}, r"did you mean 'queries'\?"),
        ({"tasks": []}, "'tasks' = .*at least 1 item"),
        ({"methods": None}, "'methods' = None"),
        ({"methods": "bm25"}, "'methods' = 'bm25'"),
        ({"methods": [3]}, "'methods.0' = 3"),
        ({"limit": 0}, "'limit' = 0: .*greater than or equal to 1"),
        ({"limit": "all"}, "'limit' = 'all': .*integer"),
        ({"seeds": [-1]}, "'seeds.0' = -1: .*greater than or equal to 0"),
        ({"seeds": [1.5]}, "'seeds.0' = 1.5"),
        ({"latency": {"queries": -1}}, "'latency.queries' = -1"),
        ({"models": []}, "'models'"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"^board.yaml: .*{problem}") as raised:
        parse_board({**BOARD, **change}, "board.yaml")
    assert "\n" not in str(raised.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^board.yaml: key 'tasks' is missing; add it"):
        parse_board({"name": "b", "methods": ["bm25"]}, "board.yaml")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[a, b]", "expected keys such as"),
        (b"", "expected keys such as"),
        (b"name: [", "not readable as YAML"),
        (b"name: \xff", "not readable as YAML"),
        (b"name: a\n\tb: c", "not readable as YAML"),
    ],
)
def test_a_file_that_is_no_board(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "board.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as raised:
        read_board(str(path))
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such board file"):
        read_board(str(tmp_path / "b.yaml"))
    with pytest.raises(InputError, match="not readable"):
        read_board(f"{tmp_path}/")
    with pytest.raises(ConfigError, match=r"unknown board 'quickstrat'; did you mean 'quickstart'"):
        read_board("quickstrat")


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_files_of_any_editor_are_read(tmp_path: Path, prefix: bytes, end: bytes) -> None:
    path = tmp_path / "board.yaml"
    path.write_bytes(prefix + end.join([b"name: b", b"tasks: [nq]", b"methods: [bm25]"]))
    assert read_board(str(path)) == parse_board(BOARD, "")


def test_shipped_boards_can_be_planned() -> None:
    for name in registry.names("boards"):
        assert read_board(name).description


def test_a_board_is_every_combination(board) -> None:
    plans = board("no-retrieval", {"name": "bm25", "params": {"k": 3}}, seeds=[0, 1])
    names = [(plan.config.method.name, plan.config.seed) for plan in plans]
    assert names == [("no-retrieval", 0), ("no-retrieval", 1), ("bm25", 0), ("bm25", 1)]
    assert len({plan.config.run_id for plan in plans}) == 4
    assert plans[2].config.method.params["k"] == 3
    assert plans[0].config.retriever is None
    assert plans[2].config.retriever["kind"] == "bm25"


class Kinds(Method):
    card = MethodCard("Kinds", "Has variants.")
    variant_param = "kind"

    class Params(MethodParams):
        kind: str = Field("plain", description="which")

    async def answer(self, query: Query) -> Prediction:
        return Prediction(query.text)


def test_a_variant_in_a_methods_name_is_the_run_of_its_parameter(board) -> None:
    register_method("kinds", Kinds)
    one, same, plain = board("kinds:Other", {"name": "kinds", "params": {"kind": "Other"}}, "kinds")
    assert one.config == same.config != plain.config
    assert (one.config.method.name, one.config.method.params["kind"]) == ("kinds", "Other")
    grid = {"method": "kinds:Other", "params": {"shots": [1, 2]}}
    varied = board("kinds:Other", grid=grid)
    assert [plan.config.method.params["shots"] for plan in varied] == [4, 1, 2]
    assert {plan.config.method.params["kind"] for plan in varied} == {"Other"}


def test_a_variant_is_told_from_the_others_also_at_its_default(
    board, tmp_path, monkeypatch
) -> None:
    register_method("kinds", Kinds)
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: CountingModel())
    plans = board("kinds:Other", "kinds")
    assert [plan.label for plan in plans] == ["toy / kinds:Other", "toy / kinds:plain"]
    folders = run_plans(plans, tmp_path, quiet())
    shown = [read_manifest(folder).non_default_params for folder in folders]
    assert shown == [{"kind": "Other"}, {"kind": "plain"}]
    assert {folder.parent for folder in folders} == {tmp_path / "toy" / "kinds"}


def test_an_own_limit_goes_before_the_boards() -> None:
    tasks = ["nq", {"name": "musique", "limit": 2}]
    plans = plan_runs(parse_board({**BOARD, "tasks": tasks, "limit": 3}, ""), "cpu")
    assert [len(plan.data.questions) for plan in plans] == [3, 2]


def test_a_task_of_another_version_is_another_run(tmp_path: Path) -> None:
    sample = write_task(tmp_path / "toy" / "sample").parent
    registry.register("tasks", "toy", sample)
    ids = []
    for version in ("", "version: 1", "version: 2"):
        (sample / "task.yaml").write_text(f"name: toy\ntitle: Toy\n{version}\n")
        [plan] = plan_runs(parse_board({**BOARD, "tasks": ["toy"]}, ""), "cpu")
        ids.append(plan.config.run_id)
        shown = plan.config.written()["task"].get("version")
    assert ids[0] == ids[1] != ids[2]
    assert shown == 2


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        ("bm26", r"unknown method 'bm26'; did you mean 'bm25'\?"),
        ("../bm25", "unknown method '../bm25'"),
        ({"name": "bm25", "params": {"kk": 3}}, r"no parameter 'kk'; did you mean 'k'\?"),
        ({"name": "bm25", "params": {"k": 0}}, "parameter 'k' = 0"),
        (
            {"name": "bm25", "params": {"k1": float("inf")}},
            "parameter 'k1' = inf: Input should be a finite number",
        ),
        ({"name": "standard-rag", "params": {"retriever": "e5-bas-v2"}}, "mean 'e5-base-v2'"),
    ],
)
def test_wrong_methods_stop_before_any_run(board, method: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        board("no-retrieval", method)


def test_a_stopped_run_does_not_stop_the_others(board, tmp_path, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise InputError("the index is damaged")

    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: CountingModel())
    monkeypatch.setattr(harness.retrieval.open, "open_retriever", broken)
    screen = StringIO()
    plans = board("bm25", "no-retrieval")
    with pytest.raises(RunFailedError, match="stopped 1 times"):
        run_plans(plans, tmp_path / "runs", Console(file=screen, width=40))
    assert "the index is damaged" in screen.getvalue()
    assert [plan.is_complete(tmp_path / "runs") for plan in plans] == [False, True]


def test_a_model_that_cannot_be_opened_does_not_stop_the_others(
    board, tmp_path, monkeypatch
) -> None:
    def open_model(config, **_: object) -> LanguageModel:
        if config.name == "llama-3.2-1b-instruct":
            raise InputError("no weights")
        return CountingModel()

    monkeypatch.setattr(harness.llm.open, "open_model", open_model)
    plans = board("no-retrieval", models=["llama-3.2-1b-instruct", "smollm2-135m-instruct"])
    with pytest.raises(HarnessError):
        run_plans(plans, tmp_path, quiet())
    assert [plan.is_complete(tmp_path) for plan in plans] == [False, True]
    with pytest.raises(InputError, match=r"^no weights$"):  # alone, the error itself
        run_plans(plans[:1], tmp_path, quiet())


def test_models_are_closed_and_indexes_shared(board, tmp_path, monkeypatch) -> None:
    model, opened = CountingModel(), []
    closed: list[bool] = []
    model.close = lambda: closed.append(True)  # type: ignore[method-assign]
    monkeypatch.setattr(harness.llm.open, "open_model", lambda *_, **__: model)

    def open_retriever(name, corpus, **_: object) -> WordRetriever:
        opened.append(name)
        return WordRetriever(corpus)

    monkeypatch.setattr(harness.retrieval.open, "open_retriever", open_retriever)
    register_method("ask", Ask)
    sizes = [{"name": "bm25", "params": {"k": k}} for k in (1, 2, 3)]
    other = {"name": "bm25", "params": {"k1": 2.0}}
    run_plans(board("ask", *sizes, other), tmp_path, quiet())
    assert (opened, closed) == (["bm25", "bm25"], [True])
    run_plans(board("ask", *sizes, other), tmp_path, quiet())
    assert (opened, closed) == (["bm25", "bm25"], [True])  # nothing left, nothing opened
