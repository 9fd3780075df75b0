"""What a board prepares: made once, in order, refused when it is something else, named by runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import registry
from harness.boards.config import Board, Preparation
from harness.boards.prepare import prepare, resolve
from harness.boards.run import parse_board, read_board
from harness.cli.prepare import check
from harness.errors import ConfigError, InputError
from harness.method import MethodCard
from harness.registry import register_method
from tests.harness.conftest import CommandLine
from tests.harness.lab import Ask


class Reads(Ask):
    """Names a folder."""

    card = MethodCard("Reads", "Reads a folder.")

    class Params(Ask.Params):
        place: str = "none"


@pytest.fixture(autouse=True)
def _reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugin_methods", {})
    register_method("reads", Reads)


def board(prepare: list[dict[str, Any]], **values: Any) -> Board:
    content = {"name": "b", "tasks": ["nq"], "methods": ["reads"], "prepare": prepare, **values}
    return parse_board(content, "board.yaml")


WIDE = {"name": "wide", "train": "smollm2-135m-instruct", "changes": {"z_dim": 64}}


class Workshop:
    """Notes what it is asked to make; breaks down on request."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.broken = False

    def __call__(self, preparation: Preparation, folder: Path) -> None:
        if self.broken:
            raise KeyboardInterrupt
        folder.mkdir(parents=True)
        self.made.append(preparation.name)


def test_a_preparation_is_made_once_and_methods_are_told_where_it_lies(tmp_path: Path) -> None:
    entries = [{"name": "reads", "params": {"place": "prepared:wide"}}]
    asked, workshop = board([WIDE], methods=entries), Workshop()
    for _ in range(2):
        done = prepare(asked, tmp_path, workshop)
        assert done.methods[0].params == {"place": str(tmp_path / "prepared" / "wide")}
    assert workshop.made == ["wide"]


def test_an_interrupted_preparation_is_made_again(tmp_path: Path) -> None:
    workshop = Workshop()
    workshop.broken = True
    with pytest.raises(KeyboardInterrupt):
        prepare(board([WIDE]), tmp_path, workshop)
    workshop.broken = False
    prepare(board([WIDE]), tmp_path, workshop)
    assert workshop.made == ["wide"]


def test_a_folder_prepared_by_other_settings_is_refused_and_left(tmp_path: Path) -> None:
    workshop = Workshop()
    prepare(board([WIDE]), tmp_path, workshop)
    with pytest.raises(ConfigError, match=r"wide: prepared with other settings \(changes: "):
        prepare(board([{**WIDE, "changes": {"z_dim": 128}}]), tmp_path, workshop)
    assert workshop.made == ["wide"]


def test_a_grid_varies_over_what_is_prepared(tmp_path: Path) -> None:
    narrow = {**WIDE, "name": "narrow"}
    grid = {"method": "reads", "params": {"place": ["prepared:wide", "prepared:narrow"]}}
    places = [
        m.params.get("place") for m in resolve(board([WIDE, narrow], grid=grid), tmp_path).methods
    ]
    assert places == [None, str(tmp_path / "prepared/wide"), str(tmp_path / "prepared/narrow")]


def test_a_model_and_an_evaluation_can_be_of_what_is_prepared(tmp_path: Path) -> None:
    look = {"name": "look", "evaluate-write": {"task": "nq", "shared": "prepared:wide"}}
    found = resolve(board([WIDE, look], models=["prepared:wide/model"]), tmp_path)
    assert found.models == (f"path:{tmp_path / 'prepared' / 'wide' / 'model'}",)
    assert found.prepare[1].evaluate_write == {
        "task": "nq",
        "shared": str(tmp_path / "prepared" / "wide"),
    }


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"name": "x"}, "give either 'train'"),
        ({"name": "x", "train": "r", "evaluate-write": {"task": "nq"}}, "give either 'train'"),
        ({"name": "x", "evaluate-write": {"task": "nq"}, "changes": {"steps": 1}}, "of a recipe"),
        ({"name": "x", "trian": "r"}, r"unknown key 'prepare.0.trian'; did you mean 'train'\?"),
    ],
)
def test_a_wrong_entry_is_named(entry: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        board([entry])


def test_nothing_of_that_name(tmp_path: Path) -> None:
    entries = [{"name": "reads", "params": {"place": "prepared:wyde"}}]
    with pytest.raises(ConfigError, match=r"nothing of this name is prepared; did you mean 'wide'"):
        resolve(board([WIDE], methods=entries), tmp_path)


def test_the_same_name_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stands twice"):
        resolve(board([WIDE, WIDE]), tmp_path)


def test_a_name_that_is_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, InputError), match="preparation"):
        prepare(board([{**WIDE, "name": "../x"}]), tmp_path, Workshop())


def test_wrong_parameters_stop_a_board_before_an_hour_of_training(tmp_path: Path) -> None:
    workshop = Workshop()
    entries = [{"name": "reads", "params": {"plaice": 1}}]
    with pytest.raises(ConfigError, match="no parameter 'plaice'"):
        prepare(board([WIDE], methods=entries), tmp_path, workshop)
    assert not workshop.made


def test_wrong_changes_stop_the_command_before_anything_is_trained(
    tmp_path: Path, cli: CommandLine
) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(
        "name: b\ntasks: [nq]\nmethods: []\nprepare:\n"
        "  - {name: fine, evaluate-write: {task: nq}}\n"
        "  - {name: wrong, train: smollm2-135m-instruct, changes: {tuning: {rnk: 8}}}\n"
    )
    error = cli.refuses("run", path, "--out", tmp_path / "runs")
    assert "recipe 'smollm2-135m-instruct': 'tuning.rnk'" in error
    assert not (tmp_path / "runs").exists()


def test_a_board_without_methods_prepares_or_is_refused() -> None:
    assert board([WIDE], methods=[]).prepare
    with pytest.raises(ConfigError, match="'methods' is empty"):
        board([], methods=[])


@pytest.mark.parametrize("name", sorted(registry.board_files()))
def test_every_shipped_board_and_all_it_prepares_is_valid(name: str, tmp_path: Path) -> None:
    found = resolve(read_board(name), tmp_path)
    for preparation in found.prepare:
        check(preparation)
    assert found.methods or found.prepare
    assert "prepared:" not in str([m.params for m in found.methods])
