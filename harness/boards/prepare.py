"""Preparations of a board, made before its runs.

Each preparation lies in ``RUNS/prepared/<name>/`` and is made once; a parameter of a method says
``prepared:NAME`` for its folder, a model ``prepared:NAME/model``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.boards.config import Board
from harness.boards.method_entry import load_method, parse_params
from harness.boards.preparation import Preparation, Work, work_of
from harness.boards.sweep import expand
from harness.errors import ConfigError, did_you_mean
from harness.files import check_slug, read_json, write_json
from harness.llm.catalogue import resolve_model
from harness.llm.identity import identity

FOLDER = "prepared"
PREFIX = "prepared:"
DONE_FILE = "prepared.json"
CONTENT = "content"
"""Key of the fingerprint of what files hold that the options name."""

Make = Callable[[str, Work, Path], None]


def is_prepared(board: Board, root: Path) -> bool:
    """Whether nothing of a board that was resolved is left to be made."""
    return all(_is_made(entry.name, work_of(entry), root) for entry in board.prepare)


def prepare(board: Board, root: Path, make: Make) -> None:
    """Make what is not there yet of a board that was resolved.

    ``make`` does the work of one preparation, given by name, in a folder, and goes on where it was
    interrupted. All that is to be made is checked first. Raises ConfigError if a folder holds
    something that was prepared by other settings.
    """
    works = {entry.name: work_of(entry) for entry in board.prepare}
    left = {name: work for name, work in works.items() if not _is_made(name, work, root)}
    for work in left.values():
        work.check()
    for name, work in left.items():
        folder = _folder(root, name)
        make(name, work, folder)
        write_json(folder / DONE_FILE, _record(name, work))


def resolve(board: Board, root: Path) -> Board:
    """The board with its grid written out and every ``prepared:NAME`` as a folder in ``root``.

    Raises ConfigError for a method, parameter, model or ``prepared:NAME`` that there is not, and
    InputError for a model's files.
    """
    board = expand(board)
    for entry in board.methods:
        parse_params(load_method(entry.name), entry.name, entry.params)
    for model in board.models:
        if not _is_prepared(model):
            identity(resolve_model(model))  # or the error of a file that is missing
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
            m.model_copy(update={"params": _replaced(m.params, folder)}) for m in board.methods
        ),
        "models": tuple(_model(model, folder) for model in board.models),
        "prepare": tuple(
            Preparation(name=entry.name, **_replaced(entry.options, folder))
            for entry in board.prepare
        ),
    }
    return board.model_copy(update=changes)


def _is_prepared(value: Any) -> bool:
    """Whether a value is, or holds, a folder that is to be prepared."""
    if isinstance(value, Mapping):
        return any(map(_is_prepared, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_prepared, value))
    return isinstance(value, str) and value.startswith(PREFIX)


def _model(model: str | dict[str, Any], folder: Callable[[str], str]) -> str | dict[str, Any]:
    if isinstance(model, str):
        return f"path:{folder(model)}" if _is_prepared(model) else model
    # Absolute, since a plain name would be one of the hub.
    return _replaced(model, lambda reference: str(Path(folder(reference)).absolute()))


def _replaced(values: Mapping[str, Any], folder: Callable[[str], str]) -> dict[str, Any]:
    def replaced(value: Any) -> Any:
        if isinstance(value, Mapping):
            return _replaced(value, folder)
        if isinstance(value, list | tuple):
            return [replaced(each) for each in value]
        return folder(value) if _is_prepared(value) else value

    return {key: replaced(value) for key, value in values.items()}


def _folder(root: Path, name: str) -> Path:
    return root / FOLDER / check_slug(name, "preparation")


def _record(name: str, work: Work) -> dict[str, Any]:
    return {"name": name, **work.model_dump(mode="json"), CONTENT: work.content()}


def _is_made(name: str, work: Work, root: Path) -> bool:
    done = _folder(root, name) / DONE_FILE
    if not done.exists():
        return False
    there, asked = _given(read_json(done)), _given(_record(name, work))
    if CONTENT not in there:  # as it was before contents counted
        asked.pop(CONTENT, None)
    if there != asked:
        raise ConfigError(
            f"{done.parent}: prepared with other settings ({_difference(there, asked)}); remove it "
            "or choose another --out"
        )
    return True


def _given(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what is empty: earlier ones name the options of every verb."""
    return {key: value for key, value in record.items() if value not in (None, {}, [])}


def _difference(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    keys = [key for key in {**asked, **there} if there.get(key) != asked.get(key)]
    return ", ".join(f"{key}: {there.get(key)} there, {asked.get(key)} asked" for key in keys)
