"""What a board prepares: made once, in order, refused when it is something else, named by runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness import registry
from harness.boards.config import Board, parse_board
from harness.boards.file import read_board
from harness.boards.preparation import Work, work_of
from harness.boards.prepare import prepare, resolve
from harness.errors import ConfigError, InputError
from harness.method import MethodCard
from harness.registry import register, register_method
from tests.harness.conftest import CommandLine
from tests.harness.lab import Ask


class Reads(Ask):
    """Names a folder."""

    card = MethodCard("Reads", "Reads a folder.")

    class Params(Ask.Params):
        place: str = "none"
        places: tuple[str, ...] = ()


@pytest.fixture(autouse=True)
def _reads() -> None:
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

    def __call__(self, name: str, work: Work, folder: Path) -> None:
        if self.broken:
            raise KeyboardInterrupt
        folder.mkdir(parents=True)
        self.made.append(name)


def prepared(asked: Board, root: Path, workshop: Workshop) -> Board:
    resolved = resolve(asked, root)
    prepare(resolved, root, workshop)
    return resolved


def test_a_preparation_is_made_once_and_methods_are_told_where_it_lies(tmp_path: Path) -> None:
    entries = [{"name": "reads", "params": {"place": "prepared:wide"}}]
    asked, workshop = board([WIDE], methods=entries), Workshop()
    for _ in range(2):
        done = prepared(asked, tmp_path, workshop)
        assert done.methods[0].params == {"place": str(tmp_path / "prepared" / "wide")}
    assert workshop.made == ["wide"]


def test_an_interrupted_preparation_is_made_again(tmp_path: Path) -> None:
    workshop = Workshop()
    workshop.broken = True
    with pytest.raises(KeyboardInterrupt):
        prepared(board([WIDE]), tmp_path, workshop)
    workshop.broken = False
    prepared(board([WIDE]), tmp_path, workshop)
    assert workshop.made == ["wide"]


def test_a_folder_prepared_by_other_settings_is_refused_and_left(tmp_path: Path) -> None:
    workshop = Workshop()
    prepared(board([WIDE]), tmp_path, workshop)
    with pytest.raises(ConfigError, match=r"wide: prepared with other settings \(changes: "):
        prepared(board([{**WIDE, "changes": {"z_dim": 128}}]), tmp_path, workshop)
    assert workshop.made == ["wide"]


def test_a_recipe_that_was_edited_is_another_preparation(tmp_path: Path) -> None:
    from methods.parametric_qa.train.recipe import RECIPES

    recipe = tmp_path / "mine.yaml"
    text = (RECIPES / "proposal-cpu.yaml").read_text(encoding="utf-8")
    recipe.write_text(text, encoding="utf-8")
    asked, workshop = board([{"name": "own", "train": str(recipe)}]), Workshop()
    prepared(asked, tmp_path, workshop)
    recipe.write_text(text + "\n# a remark\n", encoding="utf-8")
    prepared(asked, tmp_path, workshop)
    recipe.write_text(re.sub(r"(?m)^steps: .*", "steps: 7", text), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"own: prepared with other settings \(content: "):
        prepared(asked, tmp_path, workshop)
    assert workshop.made == ["own"]


def test_prepared_folders_are_found_inside_models_and_lists(tmp_path: Path) -> None:
    models = [{"path": "prepared:wide/model", "dtype": "float32"}]
    entries = [{"name": "reads", "params": {"places": ["prepared:wide", "here"]}}]
    done = resolve(board([WIDE], models=models, methods=entries), tmp_path)
    wide = tmp_path / "prepared" / "wide"
    assert done.models == ({"path": str(wide / "model"), "dtype": "float32"},)
    assert done.methods[0].params == {"places": [str(wide), "here"]}


@pytest.mark.parametrize(
    ("entry", "there"),
    [
        (
            WIDE,
            {"train": "smollm2-135m-instruct", "changes": {"z_dim": 64}, "evaluate_write": None},
        ),
        (
            {"name": "wide", "train": "proposal-cpu"},
            {"train": "proposal-cpu", "changes": {}, "evaluate_write": None},
        ),
        (
            {"name": "wide", "evaluate-write": {"task": "nq"}},
            {"train": None, "changes": {}, "evaluate_write": {"task": "nq"}},
        ),
    ],
)
def test_what_an_earlier_version_prepared_is_not_made_again(
    tmp_path: Path, entry: dict[str, Any], there: dict[str, Any]
) -> None:
    folder = tmp_path / "prepared" / "wide"
    folder.mkdir(parents=True)
    every = {"name": "wide", "train": None, "changes": {}, "evaluate_write": None}
    (folder / "prepared.json").write_text(json.dumps({**every, **there}))
    workshop = Workshop()
    prepared(board([entry]), tmp_path, workshop)
    assert not workshop.made
    with pytest.raises(ConfigError, match="prepared with other settings"):
        prepared(board([{"name": "wide", "train": "proposal-poc"}]), tmp_path, workshop)


class Nest(Work):
    """Build nests of so many eggs."""

    nest: int
    twigs: str = "many"

    def make(self, folder: Path, device: str | None, console: Any) -> None:
        folder.mkdir(parents=True)
        (folder / "nest").write_text(f"{self.nest} eggs on {self.twigs} twigs")


def test_a_verb_of_a_plug_in(cli: CommandLine, tmp_path: Path) -> None:
    register("preparations", "nest", Nest)
    register("preparations", "flat", int)
    path, made = tmp_path / "b.yaml", tmp_path / "runs" / "prepared" / "small" / "nest"
    start = "name: b\ntasks: [nq]\nmethods: []\nprepare:\n"
    path.write_text(f"{start}  - {{name: small, nest: 2, twigs: few}}\n")
    assert cli("run", path, "--out", tmp_path / "runs").code == 0
    assert made.read_text() == "2 eggs on few twigs"
    for entry, problem in {
        "flat: 2": "preparation 'flat': <class 'int'> is not a subclass of Work",
        "nest: many": "b.yaml: 'prepare.0.nest' = 'many': Input should be a valid integer",
        "nest: 2, twig: few": "unknown key 'prepare.0.twig'; did you mean 'twigs'?",
        "nst: 2": "unknown key 'prepare.0.nst'; did you mean 'nest'?",
        "nest: 2, train: x": "'prepare.0': give either 'train' or",
    }.items():
        path.write_text(f"{start}  - {{name: small, {entry}}}\n")
        assert problem in cli.refuses("run", path, "--out", tmp_path / "runs")


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
    assert found.prepare[1].options == {
        "evaluate-write": {"task": "nq", "shared": str(tmp_path / "prepared" / "wide")}
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
        prepared(board([{**WIDE, "name": "../x"}]), tmp_path, Workshop())


def test_wrong_parameters_stop_a_board_before_an_hour_of_training(tmp_path: Path) -> None:
    workshop = Workshop()
    entries = [{"name": "reads", "params": {"plaice": 1}}]
    with pytest.raises(ConfigError, match="no parameter 'plaice'"):
        prepared(board([WIDE], methods=entries), tmp_path, workshop)
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


@pytest.mark.parametrize("name", sorted(registry.names("boards")))
def test_every_shipped_board_and_all_it_prepares_is_valid(name: str, tmp_path: Path) -> None:
    found = resolve(read_board(name), tmp_path)
    for preparation in found.prepare:
        work_of(preparation).check()
    assert found.methods or found.prepare
    assert "prepared:" not in str([m.params for m in found.methods])
