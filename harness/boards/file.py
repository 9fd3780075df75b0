"""A board's file: found by name or path, read once, its relative paths beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from harness.boards.config import Board, parse_board
from harness.boards.preparation import Preparation
from harness.boards.task_entry import TaskSource, is_path
from harness.data.lm_eval_task import PREFIX
from harness.data.yaml import load_yaml
from harness.errors import InputError
from harness.files import possible
from harness.registry import board_file
from harness.retrieval.prebuilt import beside, is_prebuilt

Source = TypeVar("Source", bound=TaskSource)

_PLACES = ("questions", "train", "corpus", "data_dir")
_LOCAL, _HUB_OR_LOCAL = ("path", "gguf"), ("vllm",)
_FOLDERS = {
    "transformers": ("path", "adapter"),
    "vllm": ("path", "adapter"),
    "openai": ("tokenizer",),
}


def read_board(name: str) -> Board:
    """Load a board by name or path; errors name the file, the key and the fix."""
    values, path = board_values(name)
    board = parse_board(values, str(path))
    changes: dict[str, Any] = {
        "tasks": tuple(task_beside(task, path) for task in board.tasks),
        "models": tuple(_model(model, path) for model in board.models),
        "methods": tuple(
            entry.model_copy(update={"params": _values(entry.params, path)})
            for entry in board.methods
        ),
        "prepare": tuple(
            Preparation(name=entry.name, **_values(entry.options, path)) for entry in board.prepare
        ),
    }
    if board.grid is not None:
        varied = {key: tuple(_values(each, path)) for key, each in board.grid.params.items()}
        changes["grid"] = board.grid.model_copy(update={"params": varied})
    if board.judge is not None:
        prompt = board.judge.prompt and _beside(board.judge.prompt, path)
        model = _model(board.judge.model, path)
        changes["judge"] = board.judge.model_copy(update={"prompt": prompt, "model": model})
    return board.model_copy(update=changes)


def board_values(name: str) -> tuple[Any, Path]:
    """What a board's file says, not yet validated, and the file's path."""
    path = board_file(name)
    try:
        return load_yaml(path.read_text(encoding="utf-8")), path
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such board file; 'memory-harness list boards' names those shipped"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error


def task_beside(task: Source, file: Path) -> Source:
    """A task's entry of a board's or a recipe's file, its paths as seen from the working folder."""
    paths = {
        key: _beside(Path(path), file) for key in _PLACES if (path := getattr(task.files, key))
    }
    changes: dict[str, Any] = {}
    if paths:
        changes["files"] = task.files.model_copy(update=paths)
    if is_path(task.name):
        changes["name"] = _local(task.name, file)
    own = task.name.removeprefix(PREFIX)
    if own != task.name and is_path(own):
        changes["name"] = PREFIX + _local(own, file)
    return task.model_copy(update=changes) if changes else task


def _model(model: str | dict[str, Any], board: Path) -> str | dict[str, Any]:
    if isinstance(model, str):
        prefix, _, path = model.partition(":")
        is_folder = prefix in _LOCAL or (prefix in _HUB_OR_LOCAL and _is_local(path, board))
        return f"{prefix}:{_local(path, board)}" if is_folder else model
    placed = dict(model)
    for key in _FOLDERS.get(str(model.get("kind", "transformers")), ()):
        if _is_local(str(model.get(key) or ""), board):
            placed[key] = _local(str(model[key]), board)
    if "name" in model:
        placed["name"] = _model(str(model["name"]), board)
    return placed


def _values(value: Any, board: Path) -> Any:
    """Options of methods and preparations: ``./`` and ``../`` begin a path, ``faiss:`` and
    ``bm25s:`` a prebuilt index's.
    """
    if isinstance(value, Mapping):
        return {key: _values(each, board) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_values(each, board) for each in value]
    if is_prebuilt(value):
        return beside(value, lambda text: _local(text, board))
    if not (isinstance(value, str) and value.startswith(("./", "../"))):
        return value
    place = _beside(Path(value), board)
    # As it is written where that means the same: the text is part of a run's identity.
    return value if place.resolve() == Path(value).resolve() else str(place)


def _is_local(text: str, board: Path) -> bool:
    """Whether it is no hub id: as transformers does, a folder that is there goes before."""
    path = possible(text)
    there = path.is_dir() or (board.parent / path).is_dir()
    return text.startswith(".") or (bool(text) and there)


def _local(text: str, board: Path) -> str:
    """The text of a local path, which must begin with ``/``, ``~`` or ``.`` to be one."""
    if "://" in text:
        return text  # a URL, which is refused where it is no model
    place = _beside(Path(text), board)
    if place == Path(text):
        return text
    return str(place) if place.is_absolute() else f"./{place}"


def _beside(path: Path, board: Path) -> Path:
    """A path of a board, beside its file. Raises InputError if it lies where one stands instead."""
    if possible(path).is_absolute() or str(path).startswith("~"):
        return path
    place = board.parent / path
    if path.exists() and not place.exists():
        raise InputError(
            f"{board}: '{path}' lies in the working folder, not beside the board, and a board's "
            f"paths begin where its file is: write '{os.path.relpath(path, board.parent)}'"
        )
    return place
