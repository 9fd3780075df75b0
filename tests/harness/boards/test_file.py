"""A board's relative paths lie beside its file, wherever it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.boards.file import read_board
from harness.errors import InputError
from tests.harness.conftest import CommandLine


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a board into the folder of the small task; one stands in another."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def write(**values: Any) -> Path:
        path = tmp_path / "files" / "board.yaml"
        path.parent.mkdir(exist_ok=True)
        content = {"name": "b", "tasks": ["nq"], "methods": ["no-retrieval"], **values}
        path.write_text(yaml.safe_dump(content))
        return path

    return write


TOY = {"name": "toy", "files": {"questions": "questions.jsonl", "corpus": "./corpus.jsonl"}}


def test_files_of_tasks_lie_beside_the_board(
    cli: CommandLine, board, files: Path, tmp_path: Path
) -> None:
    methods = [{"name": "no-retrieval", "params": {"shots": 0}}]
    path = board(tasks=[TOY], methods=methods, latency={"queries": 0})
    for place in (path, Path("..") / "files" / "board.yaml"):
        done = cli("run", place, "--out", tmp_path / "runs", "--limit", 2)
        assert done.code == 0, done.err


def test_files_in_the_working_folder_are_told_with_what_to_write(
    cli: CommandLine, board, files: Path
) -> None:
    (files / "questions.jsonl").rename("questions.jsonl")
    path = board(tasks=[TOY])
    assert cli.refuses("run", path, "--out", "runs") == (
        f"error: {path}: 'questions.jsonl' lies in the working folder, not beside the board, and a "
        "board's paths begin where its file is: write '../here/questions.jsonl'"
    )


def test_a_file_that_is_nowhere_is_named_beside_the_board(
    cli: CommandLine, board, files: Path
) -> None:
    (files / "corpus.jsonl").unlink()
    line = cli.refuses("run", board(tasks=[TOY]), "--out", "runs")
    assert f"{files / 'corpus.jsonl'}: file not found" in line


@pytest.mark.parametrize(
    ("model", "meant"),
    [
        ("path:model", "path:{}/model"),
        ("path:./model", "path:{}/model"),
        ("gguf:model/w.gguf", "gguf:{}/model/w.gguf"),
        ("path:/far/model", "path:/far/model"),
        ("path:~/model", "path:~/model"),
        ("vllm:./model", "vllm:{}/model"),
        ("vllm:model", "vllm:{}/model"),
        ("hf:org/name", "hf:org/name"),
        ("vllm:org/name", "vllm:org/name"),
        ("openai:model@http://localhost/v1", "openai:model@http://localhost/v1"),
        ({"name": "m", "path": "./model"}, {"name": "m", "path": "{}/model"}),
        ({"name": "m", "path": "model"}, {"name": "m", "path": "{}/model"}),
        ({"name": "m", "path": "org/name"}, {"name": "m", "path": "org/name"}),
        ({"name": "path:model", "dtype": "float32"}, {"name": "path:{}/model", "dtype": "float32"}),
        ({"name": "m", "path": "org/name", "adapter": "./model"},
         {"name": "m", "path": "org/name", "adapter": "{}/model"}),
        ({"name": "m", "kind": "openai", "path": "model", "tokenizer": "./model"},
         {"name": "m", "kind": "openai", "path": "model", "tokenizer": "{}/model"}),
    ],
)  # fmt: skip
def test_models_and_adapters_lie_beside_the_board(board, tmp_path: Path, model, meant) -> None:
    (tmp_path / "files" / "model").mkdir(parents=True)
    folder = str(tmp_path / "files")
    found = read_board(str(board(models=[model]))).models[0]
    if isinstance(meant, str):
        assert found == meant.replace("{}", folder)
    else:
        assert found == {key: value.replace("{}", folder) for key, value in meant.items()}


def test_a_model_in_the_working_folder_is_told(board) -> None:
    Path("model").mkdir()
    for model in ("path:model", {"name": "m", "path": "./model"}, {"name": "m", "path": "model"}):
        with pytest.raises(InputError, match="'model' lies in the working folder, .*'../here/mod"):
            read_board(str(board(models=[model])))


def test_a_board_in_the_working_folder_means_what_it_says(board, monkeypatch) -> None:
    path = board(models=["path:./model", {"name": "m", "path": "./model"}])
    monkeypatch.chdir(path.parent)
    Path("model").mkdir()
    assert read_board("./board.yaml").models == read_board("board.yaml").models
    assert read_board("board.yaml").models == ("path:./model", {"name": "m", "path": "./model"})


def test_parameters_and_preparations_that_begin_with_a_dot_are_paths_beside_the_board(
    board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = resources() / "proposal-cpu.yaml"
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "mine.yaml").write_bytes(recipe.read_bytes())
    path = board(
        methods=[{"name": "parametric-qa", "params": {"shared": "./parts"}}],
        grid={"method": "parametric-qa", "params": {"shared": ["./more", "parts"]}},
        prepare=[{"name": "own", "train": "./mine.yaml"}],
    )
    found = read_board(str(path))
    assert found.methods[0].params == {"shared": str(tmp_path / "files" / "parts")}
    assert found.grid.params == {"shared": (str(tmp_path / "files" / "more"), "parts")}
    assert found.prepare[0].options == {"train": str(tmp_path / "files" / "mine.yaml")}
    monkeypatch.chdir(tmp_path / "files")  # where the text means the same it stays, for run ids
    assert read_board("board.yaml").methods[0].params == {"shared": "./parts"}


def resources() -> Path:
    from methods.parametric_qa.train.recipe import RECIPES

    return RECIPES
