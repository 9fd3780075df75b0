"""What a board asks of a cluster, how it is handed out there, and what is refused before."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.boards.config import Board, parse_board
from harness.boards.elsewhere import as_json
from harness.boards.handfuls import Handfuls, size_of
from harness.boards.on_ray import board_on, check_on, ray_cluster
from harness.boards.parts import Part
from harness.boards.run import plan_runs
from harness.boards.whole import run_whole
from harness.errors import ConfigError
from harness.runs.resources import Resources
from tests.harness.lab import quiet, write_task


@pytest.fixture
def board(tmp_path: Path) -> Any:
    files = write_task(tmp_path / "files")
    paths = {key: str(files / f"{key}.jsonl") for key in ("questions", "corpus", "train")}

    def make(*methods: Any, **keys: Any) -> Board:
        values = {"name": "small", "tasks": [{"name": "toy", "files": paths}], **keys}
        return parse_board({**values, "methods": methods or ("no-retrieval", "bm25")}, "board")

    return make


def test_a_worker_keeps_to_its_run_and_then_helps_where_most_is_left(board: Any) -> None:
    chosen = board("no-retrieval", {"name": "bm25", "params": {"k": 1}}, "bm25")
    first, second, third = plan_runs(chosen, "cpu")
    queue, one = Handfuls(2), Resources()
    for plan, ids in ((first, "ab"), (second, "cdefgh"), (third, "ijkl")):
        index = ["index"] if plan is not first else []
        queue.add(plan, ids, index)
    ids = [plan.config.run_id for plan in (first, second, third)]
    assert queue.take(one, None) == (ids[0], ["a", "b"])
    assert queue.take(one, None) == (ids[1], ["c", "d"])
    assert queue.take(one, None) is None, "the second builds what the third needs"
    queue.there("index")
    assert queue.take(one, None) == (ids[2], ["i", "j"])
    queue.back(ids[1], ["d"])
    assert queue.take(one, ids[1]) == (ids[1], ["d", "e"])
    assert queue.take(one, ids[0]) == (ids[1], ["f", "g"])
    assert queue.take(Resources(cpus=2), None) is None
    queue.drop(ids[2])
    assert not queue.is_done(ids[2]) and queue.is_left


@pytest.mark.parametrize(
    ("questions", "workers", "size"), [(10, 4, 16), (1000, 4, 62), (10**6, 4, 256)]
)
def test_handfuls_are_some_a_worker(questions: int, workers: int, size: int) -> None:
    assert size_of(questions, workers) == size


def test_a_method_asks_for_its_own_resources(board: Any) -> None:
    own = {"name": "bm25", "resources": {"memory": "24GB"}}
    chosen = board("no-retrieval", own, resources={"cpus": 4, "gpus": 1, "memory": "4GB"})
    plain, other = plan_runs(chosen, "cpu")
    assert plain.resources == Resources(cpus=4, gpus=1, memory=4 * 10**9)
    assert other.resources == Resources(cpus=4, gpus=1, memory=24 * 10**9)
    assert other.resources.text == "4 CPUs, 1 GPU, 24.0GB"
    assert parse_board(json.loads(as_json(chosen, "--on")), "board").resources == plain.resources
    assert plain.config == next(plan_runs(board("no-retrieval"), "cpu")).config


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ({"gpu": 1}, r"unknown key 'resources.gpu'; did you mean 'gpus'\?"),
        ({"cpus": 0}, r"'resources.cpus' = 0: .*greater than or equal to 1"),
        ({"gpus": 1.5}, r"'resources.gpus' = 1.5: .*more than one GPU is a whole number"),
        ({"memory": "much"}, r"'resources.memory' = 'much': could not parse"),
    ],
)
def test_resources_that_cannot_be_are_refused(board: Any, resources: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        board(resources=resources)


def test_models_of_one_board_open_on_one_kind_of_device(board: Any) -> None:
    with pytest.raises(ConfigError, match="give all a GPU .* or none"):
        board("no-retrieval", {"name": "bm25", "resources": {"gpus": 1}})
    assert board_on(board(resources={"gpus": 0.5}), None, "ray", quiet())[1] == "cuda"
    assert board_on(board(), None, "ray", quiet())[1] == "cpu"
    with pytest.raises(ConfigError, match=r"asks for no GPU; give it resources: \{gpus: 1\}"):
        board_on(board(), "cuda", "ray", quiet())


def test_nothing_is_timed_on_a_cluster_of_others(
    board: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert board_on(board(), None, "ray", quiet())[0].timings
    assert not board_on(board(), None, "ray://head:10001", quiet())[0].timings
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not board_on(board(), None, "ray", quiet())[0].timings


@pytest.mark.parametrize("on", ["slurm", "ray://", "ray://head", "ray://h:1/x", "http://h:1"])
def test_a_cluster_is_ray(on: str) -> None:
    with pytest.raises(ConfigError, match=r"^--on .*: there are ray and ray://HOST:PORT$"):
        check_on(on)


def test_a_cluster_takes_no_part(board: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a cluster shares a board out by itself"):
        run_whole(board(), tmp_path, quiet(), part=Part(1, 2), on="ray")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'lm-memory-harness\[ray\]'"):
        with ray_cluster("ray"):
            pass


def test_a_board_says_not_where_it_runs(board: Any) -> None:
    with pytest.raises(ConfigError, match="unknown key 'on'"):
        board(on="ray")
