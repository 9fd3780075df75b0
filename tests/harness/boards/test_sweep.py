"""Grids: which variants a board's grid means, how they are shown, run, and refused."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from harness.boards.config import Board, MethodEntry, parse_board
from harness.boards.method_entry import parse_params
from harness.boards.run import plan_runs
from harness.boards.sweep import expand, line
from harness.errors import ConfigError
from harness.method import MethodCard
from harness.registry import register_method
from harness.runs.directory import find_runs
from tests.harness.conftest import CommandLine
from tests.harness.lab import Ask


class Knobs(Ask):
    """Three parameters, two of which must not be large together."""

    card = MethodCard("Knobs", "Turns.")

    class Params(Ask.Params):
        a: int = Field(1, ge=0, description="first")
        b: int = Field(1, ge=0, description="second")
        c: str = Field("x", description="third")

        @model_validator(mode="after")
        def _small(self) -> Self:
            if self.a + self.b > 20:
                raise ValueError("a and b are more than 20 together")
            return self


@pytest.fixture(autouse=True)
def _knobs() -> None:
    register_method("knobs", Knobs)


def board(grid: dict[str, Any] | None, params: dict[str, Any] | None = None) -> Board:
    methods = ["no-retrieval", {"name": "knobs", "params": params or {}}, "bm25"]
    values = {"name": "b", "tasks": ["nq"], "methods": methods, "grid": grid}
    return parse_board(values, "board.yaml")


def meaning(entry: MethodEntry) -> dict[str, Any]:
    """The parameters of an entry of knobs, defaults included."""
    return parse_params(Knobs, entry.name, entry.params).model_dump()


def variants(expanded: Board) -> list[dict[str, Any]]:
    return [meaning(entry) for entry in expanded.methods if entry.name == "knobs"]


NUMBERS = st.lists(st.integers(0, 9), min_size=1, max_size=4)
GRIDS = st.fixed_dictionaries(
    {}, optional={"a": NUMBERS, "b": NUMBERS, "c": st.lists(st.sampled_from("xyz"), min_size=1)}
).filter(bool)
OWN = st.fixed_dictionaries({}, optional={"a": st.integers(0, 9), "c": st.sampled_from("xyz")})


quick = settings(max_examples=20, deadline=None)


def distinct(found: list[dict[str, Any]]) -> bool:
    return all(one != other for n, one in enumerate(found) for other in found[:n])


@quick
@given(GRIDS, OWN)
def test_every_combination_is_there_once_in_the_order_of_the_file(grid, own) -> None:
    found = variants(expand(board({"method": "knobs", "vary": "all", "params": grid}, own)))
    base = meaning(MethodEntry(name="knobs", params=own))
    combinations = [
        {**base, **dict(zip(grid, values, strict=True))} for values in product(*grid.values())
    ]
    assert distinct(found)
    assert found == [c for n, c in enumerate(combinations) if c not in combinations[:n]]


@quick
@given(GRIDS, OWN)
def test_one_at_a_time_is_the_entry_and_each_other_value_alone(grid, own) -> None:
    found = variants(expand(board({"method": "knobs", "params": grid}, own)))
    base = meaning(MethodEntry(name="knobs", params=own))
    assert found[0] == base
    assert distinct(found)
    changes = [{k: v for k, v in one.items() if v != base[k]} for one in found[1:]]
    assert all(len(change) == 1 for change in changes)
    tried = {key: [c[key] for c in changes if key in c] for key in grid}
    assert sum(map(len, tried.values())) == len(changes)
    for key, values in grid.items():
        assert tried[key] == [v for v in dict.fromkeys(values) if v != base[key]]


@quick
@given(GRIDS, OWN, st.sampled_from(["all", "one-at-a-time"]))
def test_a_written_out_grid_is_an_ordinary_board(grid, own, vary) -> None:
    expanded = expand(board({"method": "knobs", "vary": vary, "params": grid}, own))
    names = [entry.name for entry in expanded.methods]
    assert names[0] == "no-retrieval" and names[-1] == "bm25"
    assert set(names[1:-1]) == {"knobs"}
    assert expand(expanded) is expanded
    assert parse_board(expanded.model_dump(), "again") == expanded


def test_values_that_mean_the_same_are_run_once() -> None:
    grid = {"method": "knobs", "params": {"a": [1, "2", 2, 2.0], "shots": [4]}}
    assert [one["a"] for one in variants(expand(board(grid)))] == [1, 2]


def test_a_variant_that_the_board_lists_anyway_is_run_once() -> None:
    listed = board({"method": "bm25", "params": {"k": [5, 10]}})
    twice = (*listed.methods, MethodEntry(name="no-retrieval", params={"shots": 4}))
    expanded = expand(listed.model_copy(update={"methods": twice}))
    assert [line(entry) for entry in expanded.methods] == [
        "no-retrieval", "knobs", "bm25", "bm25 -p k=10",
    ]  # fmt: skip


def test_plans_of_a_board_with_a_grid_are_those_of_its_variants() -> None:
    with_grid = board({"method": "knobs", "vary": "all", "params": {"a": [1, 2], "b": [3, 4]}})
    plans = [list(plan_runs(one, "cpu")) for one in (with_grid, expand(with_grid))]
    ids = [[plan.config.run_id for plan in one] for one in plans]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 1 + 4 + 1


# Errors


@pytest.mark.parametrize(
    ("grid", "problem"),
    [
        ({"method": "knobs", "params": {"a": [1]}, "vari": "all"}, r"'grid.vari'; did you mean 'v"),
        ({"method": "knobs", "params": {"a": [1]}, "vary": "some"}, "'grid.vary' = 'some'"),
        ({"method": "knobs"}, "key 'grid.params' is missing"),
        ({"params": {"a": [1]}}, "key 'grid.method' is missing"),
        ({"method": "knobs", "params": {}}, "'grid.params' = {}"),
        ({"method": "knobs", "params": {"a": []}}, r"'grid.params.a' = \[\]"),
        ({"method": "knobs", "params": {"a": 3}}, "'grid.params.a' = 3"),
    ],
)
def test_a_wrong_grid_is_named(grid: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"^board.yaml: .*{problem}") as raised:
        board(grid)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("grid", "problem"),
    [
        (
            {"method": "knobs", "params": {"a": [1, -1]}},
            r"'knobs -p a=-1': method 'knobs': parameter 'a' = -1: .*greater than or equal to 0",
        ),
        (
            {"method": "knobs", "params": {"aa": [1]}},
            r"'knobs -p aa=1': method 'knobs' has no parameter 'aa'; did you mean 'a'",
        ),
        (
            {"method": "knobs", "vary": "all", "params": {"a": [1, 15], "b": [1, 15]}},
            r"'knobs -p a=15 -p b=15': .*more than 20 together",
        ),
        ({"method": "knob", "params": {"a": [1]}}, r"'knob' stands 0 times .* mean 'knobs'\?"),
    ],
)
def test_what_the_method_refuses_is_named_before_anything_runs(grid, problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"^board 'b': .*{problem}") as raised:
        expand(board(grid))
    assert "\n" not in str(raised.value)


def test_the_varied_method_is_listed_once() -> None:
    listed = board({"method": "bm25", "params": {"k": [1]}})
    twice = listed.model_copy(update={"methods": (*listed.methods, *listed.methods[-1:])})
    with pytest.raises(ConfigError, match="'bm25' stands 2 times .*; list it once"):
        expand(twice)


# The command


@pytest.fixture
def sweep_board(files: Path, tmp_path: Path) -> Path:
    paths = {kind: str(files / f"{kind}.jsonl") for kind in ("questions", "corpus", "train")}
    content = {
        "name": "ablation",
        "tasks": [{"name": "toy", "files": paths}],
        "methods": ["no-retrieval", {"name": "bm25", "params": {"k": 3}}],
        "latency": {"queries": 0},
        "grid": {"method": "bm25", "params": {"k": [1, 3], "k1": [0.9, 1.2], "b": [0.4]}},
    }
    path = tmp_path / "ablation.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


SHOWN = """\
no-retrieval
bm25 -p k=3
bm25 -p k=1
bm25 -p k=3 -p k1=0.9
bm25 -p k=3 -p b=0.4
"""


def test_list_prints_the_variants_and_runs_nothing(
    cli: CommandLine, sweep_board: Path, files: Path, tmp_path: Path
) -> None:
    (files / "questions.jsonl").unlink()  # not even the questions are read
    done = cli("sweep", sweep_board, "--list", "--out", tmp_path / "runs")
    assert (done.code, done.out, done.err) == (0, SHOWN, "")
    assert not (tmp_path / "runs").exists()


def test_list_prints_every_combination(cli: CommandLine, sweep_board: Path) -> None:
    content = yaml.safe_load(sweep_board.read_text())
    content["grid"] = {"method": "bm25", "vary": "all", "params": {"k": [1, 2], "b": [0, 0.5]}}
    sweep_board.write_text(yaml.safe_dump(content, sort_keys=False))
    assert cli("sweep", sweep_board, "--list").out.splitlines() == [
        "no-retrieval", "bm25 -p k=1 -p b=0", "bm25 -p k=1 -p b=0.5",
        "bm25 -p k=2 -p b=0", "bm25 -p k=2 -p b=0.5",
    ]  # fmt: skip


def test_listing_loads_no_heavy_library(sweep_board: Path) -> None:
    code = (
        "import sys; from harness.cli.main import app; app(sys.argv[1:], standalone_mode=False);"
        "print({'torch', 'transformers', 'lm_eval', 'faiss'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, "sweep", str(sweep_board), "--list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{SHOWN}set()\n"


def test_a_sweep_is_run_and_its_table_told(
    cli: CommandLine, sweep_board: Path, tmp_path: Path
) -> None:
    out = tmp_path / "runs"
    done = cli("sweep", sweep_board, "--out", out, "--limit", 5)
    assert done.code == 0, done.err
    assert done.err.splitlines()[-1] == f"next: memory-harness leaderboard {out}"
    assert len(find_runs(out)) == len(SHOWN.splitlines())
    table = cli("leaderboard", out).out
    assert "k=1" in table and "k1=0.9" in table
    again = cli("run", sweep_board, "--out", out, "--limit", 5)
    assert again.err.count("finished before") == len(SHOWN.splitlines())


def test_a_board_without_a_grid_is_not_swept(cli: CommandLine, tmp_path: Path) -> None:
    assert "add one" in cli.refuses("sweep", "quickstart")
    assert "memory-harness run" in cli.refuses("sweep", "quickstart", "--list")


def test_a_refused_combination_stops_the_sweep_before_it_starts(
    cli: CommandLine, sweep_board: Path, tmp_path: Path
) -> None:
    sweep_board.write_text(sweep_board.read_text().replace("- 0.4", "- 4"))
    for command in ("sweep", "run"):
        message = cli.refuses(command, sweep_board, "--out", tmp_path / "runs")
        assert "'bm25 -p k=3 -p b=4': method 'bm25': parameter 'b' = 4" in message
    assert not (tmp_path / "runs").exists()
