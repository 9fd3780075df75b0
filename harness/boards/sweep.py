"""A board's grid: variants of one method, written out as ordinary entries of the board."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from shlex import quote
from typing import Any

from harness.boards.config import Board, GridEntry, MethodEntry
from harness.boards.method_entry import load_method, own_name, parse_params
from harness.errors import ConfigError, did_you_mean
from harness.fingerprint import canonical_json
from harness.method import Method


def expand(board: Board) -> Board:
    """The board with its grid written out as method entries; without a grid, the board itself.

    The variants stand where the varied method stood, in the order of the file. Entries that mean
    the same (a value that is the default, say) are kept once. Raises ConfigError, naming the
    combination, if a method refuses one.
    """
    if board.grid is None:
        return board
    names = [entry.name for entry in board.methods]
    if (listed := names.count(board.grid.method)) != 1:
        problem = did_you_mean(board.grid.method, names) if not listed else "; list it once"
        raise ConfigError(
            f"board '{board.name}': grid: method '{board.grid.method}' stands {listed} times among "
            f"the board's methods{problem}"
        )
    classes = {name: load_method(name) for name in names}
    different: dict[str, MethodEntry] = {}
    for entry in board.methods:
        varied = entry.name == board.grid.method
        for variant in _variants(entry, board.grid) if varied else [entry]:
            different.setdefault(_meaning(board, variant, classes[entry.name]), variant)
    return board.model_copy(update={"methods": tuple(different.values()), "grid": None})


def line(entry: MethodEntry) -> str:
    """An entry in one line, its parameters as ``run`` takes them: ``bm25 -p k=10``."""
    pairs = [quote(f"{key}={_text(value)}") for key, value in entry.params.items()]
    return " ".join([entry.name, *(f"-p {pair}" for pair in pairs)])


def _variants(entry: MethodEntry, grid: GridEntry) -> Iterator[MethodEntry]:
    for changes in _changes(grid):
        yield entry.model_copy(update={"params": {**entry.params, **changes}})


def _changes(grid: GridEntry) -> Iterator[dict[str, Any]]:
    if grid.vary == "all":
        for values in product(*grid.params.values()):
            yield dict(zip(grid.params, values, strict=True))
        return
    yield {}
    for key, choices in grid.params.items():
        for value in choices:
            yield {key: value}


def _meaning(board: Board, entry: MethodEntry, cls: type[Method]) -> str:
    try:
        params = parse_params(cls, entry.name, entry.params)
    except ConfigError as error:
        raise ConfigError(f"board '{board.name}': '{line(entry)}': {error}") from error
    return canonical_json([own_name(entry.name), params.model_dump(mode="json")])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)
