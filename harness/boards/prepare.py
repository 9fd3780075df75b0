"""What a board needs before its runs: trained shared parts, evaluations of writing.

Each preparation lies in ``RUNS/prepared/<name>/`` and is made once; a parameter of a method says
``prepared:NAME`` for its folder, a model ``prepared:NAME/model``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.boards.config import Board, MethodEntry, Preparation
from harness.boards.sweep import expand
from harness.errors import ConfigError, did_you_mean
from harness.files import check_slug, read_json, write_json
from harness.method import parse_params
from harness.registry import load_method

FOLDER = "prepared"
PREFIX = "prepared:"
DONE_FILE = "prepared.json"

Make = Callable[[Preparation, Path], None]


def prepare(board: Board, root: Path, make: Make) -> Board:
    """Make what is not there yet; the board, its grid written out and ``prepared:NAME`` resolved.

    ``make`` does the work of one preparation in a folder and goes on where it was interrupted.
    Raises ConfigError if a folder holds something that was prepared by other settings.
    """
    board = resolve(board, root)
    for preparation in board.prepare:
        folder, asked = _folder(root, preparation.name), preparation.model_dump(mode="json")
        done = folder / DONE_FILE
        if done.exists() and (there := read_json(done)) != asked:
            raise ConfigError(
                f"{folder}: prepared with other settings ({_difference(there, asked)}); remove it "
                "or choose another --out"
            )
        if not done.exists():
            make(preparation, folder)
            write_json(done, asked)
    return board


def resolve(board: Board, root: Path) -> Board:
    """The board with its grid written out and ``prepared:NAME`` in parameters as folders."""
    board = expand(board)
    for entry in board.methods:
        parse_params(load_method(entry.name), entry.name, entry.params)
    names = [preparation.name for preparation in board.prepare]
    if len(set(names)) < len(names):
        raise ConfigError(f"board '{board.name}': prepare: a name stands twice in {names}")

    def folder(reference: str) -> str:
        name, _, below = reference.removeprefix(PREFIX).partition("/")
        if name not in names:
            raise ConfigError(
                f"board '{board.name}': '{reference}': nothing of this name is prepared"
                f"{did_you_mean(name, names)}"
            )
        return str(_folder(root, name) / below)

    changes = {
        "methods": tuple(
            MethodEntry(name=m.name, params=_replaced(m.params, folder)) for m in board.methods
        ),
        "models": tuple(
            f"path:{folder(m)}" if isinstance(m, str) and m.startswith(PREFIX) else m
            for m in board.models
        ),
        "prepare": tuple(
            p.model_copy(update={"evaluate_write": _replaced(p.evaluate_write, folder)})
            if p.evaluate_write
            else p
            for p in board.prepare
        ),
    }
    return board.model_copy(update=changes)


def _replaced(values: Mapping[str, Any], folder: Callable[[str], str]) -> dict[str, Any]:
    def own(value: Any) -> bool:
        return isinstance(value, str) and value.startswith(PREFIX)

    return {key: folder(value) if own(value) else value for key, value in values.items()}


def _folder(root: Path, name: str) -> Path:
    return root / FOLDER / check_slug(name, "preparation")


def _difference(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    keys = [key for key in asked if there.get(key) != asked[key]]
    return ", ".join(f"{key}: {there.get(key)} there, {asked[key]} asked" for key in keys)
