"""The house's own names: tables of its packages and rooms, tasks and boards by their files."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

from harness.errors import ConfigError
from harness.registry.kinds import Kind, Table

HOUSE = Path(__file__).parents[2]
"""The folder that holds ``harness`` and, beside it, the packages and data it finds by name."""

_PACKAGES: dict[Kind, tuple[str, ...]] = {
    "methods": ("methods",),
    "commands": ("harness.cli", "methods", "leaderboards"),
    "preparations": ("methods",),
    "formats": ("harness.formats",),
    "frames": ("leaderboards",),
}
_ROOMS: dict[Kind, str] = {
    "models": "harness.llm.catalogue",
    "encoders": "harness.retrieval.catalogue",
    "retrievers": "harness.retrieval.open",
    "metrics": "harness.metrics",
}


def tables(kind: Kind) -> Iterator[tuple[str, Table]]:
    """Where the house has names of a kind, and each place's table."""
    if kind == "tasks":
        yield "tasks", {file.parent.name: file.parent for file in _files("tasks", "*/task.yaml")}
    if kind == "boards":
        yield "leaderboards", {file.stem: file for file in _files("leaderboards/boards", "*.yaml")}
    if kind == "results":
        packed = _files("leaderboards/results", "*.tar.zst")
        yield "leaderboards", {file.name.removesuffix(".tar.zst"): file for file in packed}
    if kind in _ROOMS:
        yield "harness", importlib.import_module(_ROOMS[kind]).shipped()
    for name in _PACKAGES.get(kind, ()):
        yield name, _table(name, kind.upper())


def _files(folder: str, pattern: str) -> list[Path]:
    return sorted((HOUSE / folder).glob(pattern))


def _table(name: str, table: str) -> Table:
    """A table of a package of the house, empty if it has none.

    Raises ConfigError, with the way out, if another package is in its way.
    """
    own = HOUSE.joinpath(*name.split("."), "__init__.py")
    if not own.is_file():
        raise ConfigError(f"{own.parent}: missing; install memory-harness again")
    place = _place(name)
    if place is None:
        raise ConfigError(f"{own.parent}: cannot be imported; install memory-harness again")
    if place.resolve() not in (own.resolve(), own.parent.resolve()):
        raise ConfigError(f"{place}: in the way of {_whose(name)}; {_way_out(name, place)}")
    module = importlib.import_module(name)
    if not any(hasattr(module, each) for each in ("COMMANDS", table)):  # each of them has one
        raise ConfigError(
            f"{own}: overwritten{_by(name, own)}, so that {_whose(name)} is gone; install "
            "memory-harness again, in an environment of its own"
        )
    found: Table = getattr(module, table, {})
    return found


def _whose(name: str) -> str:
    return f"memory-harness's own package '{name}'"


def _place(name: str) -> Path | None:
    """The file, or the folder without one, that an import of ``name`` gives or has given."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        return _place_of(loaded)
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    return Path(spec.origin if spec.has_location and spec.origin else (folders or [name])[0])


def _place_of(module: ModuleType) -> Path:
    folders = list(getattr(module, "__path__", ()))
    return Path(getattr(module, "__file__", None) or (folders or [repr(module)])[0])


def _way_out(name: str, place: Path) -> str:
    if owner := _owner(name, place):
        return f"it is of {owner}: uninstall that, or give memory-harness its own environment"
    return "rename it, or leave its folder and take it off PYTHONPATH"


def _by(name: str, place: Path) -> str:
    owner = _owner(name, place)
    return f" by {owner}" if owner else ""


def _owner(name: str, place: Path) -> str:
    """The other distribution that installed what lies at ``place``; empty if none says so."""
    root = place.parent.parent if place.name == "__init__.py" else place.parent
    for found in distributions(path=[str(root)]):
        files = {str(file) for file in found.files or ()}
        is_ours = "harness/__init__.py" in files
        if not is_ours and any(file in files for file in (f"{name}.py", f"{name}/__init__.py")):
            return str(found.metadata["Name"])
    return ""
