"""Boards from Python: what they are made of, what comes back, and what an interrupt leaves."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pytest

import harness
from harness import ConfigError, HarnessError, InputError, leaderboard, load_board, run_board
from harness.boards.preparation import Work
from harness.registry import register, register_method
from tests.harness.lab import Ask, CountingModel, without_torch
from tests.readme import follow, shallow_models

Result = TypeVar("Result")


class Nothing(Work):
    """Prepares nothing."""

    nothing: int

    def make(self, folder: Path, device: str | None, console: Any) -> None:
        folder.mkdir(parents=True)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> CountingModel:
    without_torch(monkeypatch)
    register_method("ask", Ask)
    register("preparations", "nothing", Nothing)
    answering = CountingModel()
    monkeypatch.setattr("harness.llm.open.open_model", lambda *_, **__: answering)
    return answering


@pytest.fixture
def keys(files: Path) -> dict[str, Any]:
    paths = {kind: files / f"{kind}.jsonl" for kind in ("questions", "corpus", "train")}
    return {
        "name": "own",
        "tasks": [{"name": "toy", "files": paths}],
        "methods": ["ask", {"name": "bm25", "params": {"k": 3}}],
        "limit": 5,
        "latency": {"queries": 2, "warmup": 0},
    }


def in_a_notebook(cell: Callable[[], Result]) -> Result:
    """What a cell gives: it is run where an event loop runs, which handles no signals."""

    async def kernel() -> Result:
        return cell()

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(kernel())
    finally:
        loop.close()


def test_a_board_is_a_name_a_file_or_the_keys_of_one(tmp_path: Path) -> None:
    keys = {"name": "b", "tasks": ["nq"], "methods": ["bm25"], "limit": 9}
    path = tmp_path / "b.yaml"
    path.write_text(json.dumps(keys))
    board = load_board(keys)
    assert load_board(path) == load_board(str(path)) == load_board(board) == board
    assert load_board("quickstart").name == "quickstart"
    changed = load_board(path, limit=3, seeds=[1, 2], models=["m"])
    assert (changed.limit, changed.seeds, changed.models) == (3, (1, 2), ("m",))


@pytest.mark.parametrize(
    ("board", "changes", "problem"),
    [
        ({"name": "b", "tasks": ["nq"], "metods": []}, {}, "board: unknown key 'metods'; did you"),
        ({"name": "b", "tasks": ["nq"], "methods": ["bm25"]}, {"limits": 3}, "load_board: "),
        ({"name": "b", "tasks": ["nq"], "methods": ["bm25"]}, {"seeds": []}, "load_board: 'seeds'"),
        (
            {"name": "b", "tasks": ["nq"], "methods": ["bm25"]},
            {"models": []},
            "load_board: 'models",
        ),
        ("no-such-board", {}, "unknown board 'no-such-board'"),
        ("./gone.yaml", {}, "gone.yaml: no such board file"),
        (["bm25"], {}, "board: expected keys such as 'tasks' and 'methods'"),
    ],
)
def test_a_wrong_board_is_an_error_in_one_line(board: Any, changes: Any, problem: str) -> None:
    with pytest.raises(HarnessError, match=problem) as caught:
        load_board(board, **changes)
    assert "\n" not in str(caught.value)


def test_rows_come_back_as_typed_numbers_that_are_those_of_the_csv(
    model: CountingModel, keys: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = in_a_notebook(lambda: run_board(keys, tmp_path / "runs"))
    assert sorted(frame["row"]) == ["ask", "bm25 (k=3)"]
    assert "toy / bm25: 5/5" in capsys.readouterr().err
    row = frame.set_index("row").loc["bm25 (k=3)"]
    assert (row["questions"], row["limit"]) == (5, 5)
    assert frame.attrs["rows"][row["row_id"]]["params"] == {"k": 3}
    assert 0 <= row["em_low"] <= row["em"] <= row["em_high"] <= 1
    assert row["latency_queries"] == 2
    assert row["latency_p50_seconds"] > 0
    from leaderboards.table import render

    table = pd.read_csv(StringIO(render(tmp_path / "runs", "csv")))
    assert list(table.columns) == [name for name in frame.columns if name in table.columns]
    numbers = frame.select_dtypes("float64")
    storage = "storage_mb_per_1000_documents"
    assert {"em", "f1", "f1_p_value", "recall@5", "contains", storage} <= {*numbers}
    for name in {*numbers} & {*table}:
        assert numbers[name].tolist() == pytest.approx(table[name].tolist(), nan_ok=True), name
    assert (frame["oracle"].dtype, frame["errors"].dtype) == (bool, "Int64")
    # No model, and nothing is asked again.
    calls = model.calls
    again = run_board(load_board(keys), str(tmp_path / "runs"))
    pd.testing.assert_frame_equal(again, frame)
    assert model.calls == calls
    assert "toy / ask: finished before" in capsys.readouterr().err


def test_every_column_is_documented_and_there_whatever_was_run(
    model: CountingModel, keys: dict[str, Any], tmp_path: Path
) -> None:
    frame = run_board({**keys, "methods": ["ask"]}, tmp_path / "runs")
    assert frame["recall@5"].isna().all()
    text = leaderboard.__doc__ or ""
    ends = ("_low", "_high", "_std")
    assert all(f"``{end}``" in text for end in ends)
    metrics = {"contains", "retrieved"}  # "all other metrics by their names"
    for column in map(str, frame.columns):
        name = column.replace("@5", "@k")
        for end in ends if "rank" not in name else ():
            name = name.removesuffix(end)
        part = re.fullmatch(r"storage_\w+_mb_per_1000_documents", name)
        assert f"``{name}``" in text or name in metrics or part, column
    deeper = leaderboard(tmp_path / "runs", k=10)
    assert "recall@10_low" in deeper
    with pytest.raises(ConfigError, match="k = 7: retrieval is scored at 5, 10, 15, 20"):
        leaderboard(tmp_path / "runs", k=7)
    with pytest.raises(InputError, match="no finished run"):
        leaderboard(tmp_path / "elsewhere")


def test_an_interrupt_in_a_notebook_stops_at_once_and_the_run_goes_on_later(
    model: CountingModel, keys: dict[str, Any], tmp_path: Path
) -> None:
    keys = {**keys, "limit": None, "methods": ["ask"], "latency": {"queries": 0}}

    def interrupt(_: object) -> None:
        time.sleep(0.01)
        if model.calls == 30:  # 24 questions of two calls each
            os.kill(os.getpid(), signal.SIGINT)

    model.interfere = interrupt
    with pytest.raises(KeyboardInterrupt):
        in_a_notebook(lambda: run_board(keys, tmp_path / "runs"))
    stopped = model.calls
    (path,) = (tmp_path / "runs").rglob("predictions.jsonl")
    kept = path.read_text().splitlines()
    assert 0 < len(kept) < 24
    model.interfere = lambda _: None
    frame = in_a_notebook(lambda: run_board(keys, tmp_path / "runs"))
    assert frame["questions"].tolist() == [24]
    assert model.calls - stopped == 2 * (24 - len(kept))
    assert set(kept) < set(path.read_text().splitlines())


def test_errors_are_exceptions_and_others_are_run(
    model: CountingModel, keys: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="method 'bm25' has no parameter 'kk'"):
        run_board({**keys, "methods": [{"name": "bm25", "params": {"kk": 3}}]}, tmp_path / "runs")
    for wrong in (0, 2.5, "8"):
        with pytest.raises(InputError, match=f"batch_size is {wrong!r}; expected a whole number"):
            run_board(keys, tmp_path / "runs", batch_size=wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()
    assert model.calls == 0
    both = {**keys, "methods": ["ask", {"name": "bm25", "params": {"shots": 60}}]}
    with pytest.raises(HarnessError, match="stopped 1 times"):
        run_board(both, tmp_path / "runs")
    assert leaderboard(tmp_path / "runs")["method"].tolist() == ["ask"]


def test_a_board_that_only_prepares_has_no_rows(model: CountingModel, tmp_path: Path) -> None:
    prepare = [{"name": "x", "nothing": 1}]
    board = {"name": "b", "tasks": ["nq"], "methods": [], "prepare": prepare}
    assert run_board(board, tmp_path / "runs").empty
    assert (tmp_path / "runs" / "prepared" / "x").is_dir()


def test_the_names_are_where_a_notebook_looks_for_them() -> None:
    assert {"leaderboard", "load_board", "run_board"} <= set(harness.__all__)


@pytest.mark.model
def test_the_readmes_lines_run_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shallow_models(monkeypatch)
    follow("From Python", tmp_path, monkeypatch)
    shown = capsys.readouterr().out
    assert "bm25 (k=3)" in shown
    assert "Name: recall@10" in shown
