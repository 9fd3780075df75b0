"""Boards whose tasks are dealt into pools: which runs they are, and for which methods."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.boards.alone import planned
from harness.boards.config import Board, parse_board, parse_changes
from harness.boards.elsewhere import told
from harness.boards.file import read_board
from harness.boards.pools import dealt, pairs
from harness.boards.prepare import resolve
from harness.boards.run import load_data, plan_runs
from harness.boards.whole import run_whole
from harness.errors import ConfigError, InputError
from harness.runs.plan import RunPlan
from tests.harness.lab import quiet, write_task

METHODS = ["no-retrieval", {"name": "bm25", "params": {"k": 1}, "up_to": 5}]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """24 questions with a gold passage each over 30 passages."""
    place = write_task(tmp_path_factory.mktemp("files") / "toy")
    return {key: str(place / f"{key}.jsonl") for key in ("questions", "corpus", "train")}


def board(files: dict[str, str], methods: Any = METHODS, **changes: Any) -> Board:
    task = {"name": "toy", "files": files, "limit": 10, "pools": [2, 5, 20]}
    values = {"name": "b", "tasks": [task], "methods": methods}
    return parse_board({**values, "latency": {"queries": 3, "warmup": 1}, **changes}, "board")


def test_every_size_is_asked_whole_and_a_method_up_to_its_largest(files: dict[str, str]) -> None:
    plans = list(plan_runs(board(files), "cpu"))
    asked: Counter[tuple[str, int | None]] = Counter()
    for plan in plans:
        task = plan.config.task
        asked[plan.config.method.name, task.passages] += task.questions
    assert asked == {
        ("no-retrieval", 2): 10, ("no-retrieval", 5): 10, ("no-retrieval", 20): 10,
        ("bm25", 2): 10, ("bm25", 5): 10,
    }  # fmt: skip
    assert len({plan.config.run_id for plan in plans}) == len(plans) == 8 + 7
    assert plans[0].label == "toy, 2 documents 1/5 / no-retrieval"
    assert plans[-1].label == "toy / no-retrieval"


def test_all_pools_of_a_size_together_time_as_many_queries_as_one(files: dict[str, str]) -> None:
    plans = [p for p in plan_runs(board(files), "cpu") if p.config.method.name == "no-retrieval"]

    def timed(plan: RunPlan) -> int:
        return min(plan.measuring.queries, len(plan.data.questions))

    by_size: dict[int | None, list[int]] = {}
    for plan in plans:
        by_size.setdefault(plan.config.task.passages, []).append(timed(plan))
    assert by_size == {2: [1] * 5, 5: [2, 2], 20: [3]}


def test_methods_by_method_and_one_pool_as_a_sub_pool(files: dict[str, str]) -> None:
    plans = list(plan_runs(board(files, order="methods"), "cpu"))
    names = [plan.config.method.name for plan in plans]
    assert names == ["no-retrieval"] * 8 + ["bm25"] * 7
    cut = board(files).changed(parse_changes({"documents": 20}))
    (one,) = plan_runs(cut, "cpu")
    assert (one.config.method.name, one.config.run_id) == ("no-retrieval", plans[7].config.run_id)


def test_a_process_of_its_own_plans_the_same_run(files: dict[str, str], tmp_path: Path) -> None:
    for plan in list(plan_runs(board(files, isolate=True, leave_out_trained=True), "cpu"))[::5]:
        assert plan.board is not None
        again = planned(told(plan.board, tmp_path, device="cpu"))
        assert plan.config.run_id in {other.config.run_id for other in again}


@pytest.mark.parametrize(
    ("task", "methods", "error"),
    [
        ({"documents": 4}, METHODS, "'documents' is one sub-pool, 'pools' are several"),
        ({"pools": [4, 4]}, METHODS, "names a size twice"),
        ({"pools": [1]}, METHODS, "greater than or equal to 2"),
        ({"pools": [31]}, METHODS, "task 'toy': pools of 31 passages: the corpus holds 30"),
        (
            {},
            [{"name": "bm25", "up_to": 3}],
            "no method is run on a corpus as large as the smallest, 4 documents",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    files: dict[str, str], tmp_path: Path, task: Any, methods: Any, error: str
) -> None:
    values = {"name": "toy", "files": files, "limit": 10, "pools": [4], **task}
    with pytest.raises((ConfigError, InputError), match=error):
        run_whole(board(files, methods, tasks=[values]), tmp_path / "runs", quiet())
    assert not list((tmp_path / "runs").rglob("manifest.json"))


def test_left_out_questions_are_left_out_of_all_pools(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import harness.boards.run as running

    def without_two(data: Any, *_: Any, **__: Any) -> Any:
        return replace(data, questions=data.questions[2:], questions_fingerprint="fewer")

    monkeypatch.setattr(running, "check_untrained", without_two)
    plans = [p for p in plan_runs(board(files), "cpu") if p.config.method.name == "no-retrieval"]
    small = [plan.config.task for plan in plans if plan.config.task.passages == 2]
    assert sum(task.questions for task in small) == 8
    assert {task.dealt and task.dealt.questions_fingerprint for task in small} == {"fewer"}


def test_the_boards_of_three_memories_are_the_pools_that_they_say(tmp_path: Path) -> None:
    expected = {
        "three-memories": ({10: 5, 40: 2, 160: 1, 640: 1}, 50, 40),
        "three-memories-8b": ({10: 10, 40: 3, 160: 1, 640: 1, 2560: 1}, 100, 640),
    }
    for name, (pools, questions, trained) in expected.items():
        board = resolve(read_board(name), tmp_path)
        asked = dealt(board, load_data(board))
        assert Counter(len(each.data.corpus) for each in asked) == pools
        assert sum(len(each.data.questions) for each in asked) == len(pools) * questions
        run = Counter(
            (board.methods[n].name, len(asked[place].data.corpus))
            for place, n in pairs(board, asked)
        )
        every = {entry.name for entry in board.methods} - {"cartridge", "lora-in-weights"}
        assert {"no-retrieval", "full-context", "bm25", "parametric-qa", "compressor"} < every
        for method in every:
            assert {size for other, size in run if other == method} == set(pools)
        for method in ("cartridge", "lora-in-weights"):
            sizes = {size for other, size in run if other == method}
            assert sizes == {size for size in pools if size <= trained}
