"""The table so far: rows as they become complete, on a terminal and in a log."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import harness.llm.open
from harness.boards.config import Board, parse_board
from harness.boards.whole import run_whole
from harness.llm.requests import GenerateRequest
from tests.harness.lab import CountingModel, without_torch, write_task

TASKS = ("first", "second")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    """Three rows on two tasks, method by method."""
    place = tmp_path_factory.mktemp("files")
    tasks = []
    for name in TASKS:
        files = write_task(place / name)
        paths = {key: str(files / f"{key}.jsonl") for key in ("questions", "corpus", "train")}
        tasks.append({"name": name, "files": paths})
    values = {
        "name": "small",
        "tasks": tasks,
        "methods": ["no-retrieval", {"name": "bm25", "params": {"k": 1}}, "bm25"],
        "limit": 4,
        "order": "methods",
        "latency": {"queries": 1, "warmup": 0},
    }
    return parse_board(values, "board")


def run(board: Board, out: Path, *, terminal: bool) -> list[str]:
    text = StringIO()
    console = Console(file=text, force_terminal=terminal, width=200, no_color=True)
    with pytest.MonkeyPatch.context() as patched:
        without_torch(patched)
        patched.setattr(harness.llm.open, "open_model", lambda *_, **__: Reader())
        run_whole(board, out, console)
    return text.getvalue().splitlines()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("so-far") / "runs"


@pytest.fixture(scope="module")
def log(board: Board, runs: Path) -> list[str]:
    """What the board prints into a log."""
    return run(board, runs, terminal=False)


class Reader(CountingModel):
    """Answers with what a passage of the prompt says, if one does."""

    def _rule(self, request: GenerateRequest) -> str:
        prompt = str(request.prompt)
        asked = re.findall(r"How is number (\d+) called", prompt)[-1]
        said = re.search(rf"Number {asked} is called (\w+)", prompt)
        return said[1] if said else "unknown"


def is_row(line: str) -> bool:
    return line.startswith(("no-retrieval ", "bm25")) and "%" not in line


def test_every_method_has_rows_of_all_tasks_before_the_next_begins(log: list[str]) -> None:
    done = [line for line in log if ": F1 " in line]
    assert [line.partition(":")[0] for line in done] == [
        f"{task} / {method}" for method in ("no-retrieval", "bm25", "bm25") for task in TASKS
    ]


def test_a_log_shows_each_row_once_it_is_complete(log: list[str]) -> None:
    (heading,) = [line for line in log if line.startswith("method ")]
    rows = [line for line in log if is_row(line)]
    assert heading.split() == ["method", *TASKS, "mean", "s/question"]
    assert [row.split("  ")[0] for row in rows] == ["no-retrieval", "bm25, k=1", "bm25"]
    assert log.index(rows[0]) < next(i for i, x in enumerate(log) if "first / bm25" in x)
    assert max(map(len, [heading, *rows])) <= 100


def test_a_row_has_the_scores_of_the_leaderboard(log: list[str], runs: Path) -> None:
    from harness import leaderboard

    rows = [line.split() for line in log if is_row(line)]
    frame = leaderboard(runs)
    for row, label in zip(rows, ("no-retrieval", "bm25 (k=1)", "bm25"), strict=True):
        mine = frame[frame["row"] == label]
        by_task = mine[mine["table"] == "task"].set_index("task")["f1"]
        (mean,) = mine[mine["table"] == "mean"]["f1"]
        shown = [*(by_task[task] for task in TASKS), mean]
        assert row[-4:-1] == [f"{100 * value:.1f}" for value in shown]
    assert float(rows[2][-2]) > 0


def test_a_terminal_shows_the_whole_table_anew_with_what_was_finished_before(
    board: Board, tmp_path: Path
) -> None:
    begun = board.model_copy(update={"methods": board.methods[:1]})
    lines = [*run(begun, tmp_path, terminal=True), *run(board, tmp_path, terminal=True)]
    rows = [line.split("  ")[0] for line in lines if is_row(line)]
    first, second, third = "no-retrieval", "bm25, k=1", "bm25"
    assert rows == [first, first, second, first, second, third]


def test_a_log_shows_what_was_finished_before_once(board: Board, tmp_path: Path) -> None:
    begun = board.model_copy(update={"methods": board.methods[:1]})
    run(begun, tmp_path, terminal=False)
    lines = run(board, tmp_path, terminal=False)
    rows = [line.split("  ")[0] for line in lines if is_row(line)]
    assert rows == ["no-retrieval", "bm25, k=1", "bm25"]
    assert sum(line.startswith("F1 so far") for line in lines) == 1


def test_a_single_run_shows_no_table(board: Board, tmp_path: Path) -> None:
    alone = board.model_copy(update={"methods": board.methods[:1], "tasks": board.tasks[:1]})
    lines = run(alone, tmp_path / "runs", terminal=False)
    assert not [line for line in lines if "F1" in line]
