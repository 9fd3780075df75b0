"""Names to things: the house's own tables, ``--plugin`` files and installed plug-ins, read lazily.

The lowest layer: it imports nothing that it names before somebody asks for it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

from harness.errors import ConfigError, HarnessError, InputError, did_you_mean
from harness.files import check_slug

Kind = Literal[
    "methods", "tasks", "boards", "commands", "preparations", "models", "encoders", "retrievers",
    "metrics", "frames",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
Table = Mapping[str, Any]

HOUSE = Path(__file__).parents[1]
"""The folder that holds ``harness`` and, beside it, the packages and data it finds by name."""
_PACKAGES: dict[Kind, tuple[str, ...]] = {
    "methods": ("methods",),
    "commands": ("harness.cli", "methods", "leaderboards"),
    "preparations": ("methods",),
    "frames": ("leaderboards",),
}
_PATHS = ("tasks", "boards")

_plugins: dict[str, dict[Kind, dict[str, Any]]] = {}
_broken: dict[str, str] = {}


def sources(kind: Kind) -> Iterator[tuple[str, Table]]:
    """Where names of one kind come from, and each place's table, the house's own first.

    Installed plug-ins are imported when the iteration comes to them; one that is ``broken`` has no
    table.
    """
    yield from _loaded(kind)
    before = set(_plugins)
    _load_installed()
    for source, tables in _plugins.items():
        if source not in before:
            yield source, tables[kind]


def names(kind: Kind) -> list[str]:
    """Every name of one kind, sorted; nothing they stand for is loaded."""
    return sorted({name for _, table in sources(kind) for name in table})


def find(kind: Kind, name: str) -> Any:
    """What a table says of a name, unloaded; ConfigError with a suggestion if none does."""
    for _, table in sources(kind):
        if name in table:
            return table[name]
    raise ConfigError(
        f"unknown {_one(kind)} '{name}'{did_you_mean(name, names(kind))}{broken_note()}"
    )


def load(kind: Kind, name: str) -> Any:
    """The class, function or other object of a name. Raises ConfigError if it cannot be loaded."""
    return resolve(find(kind, name), f"{_one(kind)} '{name}'")


def resolve(target: Any, what: str) -> Any:
    """What a table's entry stands for: ``module:attribute``, an entry point, the object itself."""
    try:
        if isinstance(target, EntryPoint):
            return target.load()
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ConfigError(f"{what} cannot be loaded from {target!r}: {_reason(error)}") from error
    return target


def added(kind: Kind, own: Iterable[str]) -> dict[str, Any]:
    """What plug-ins add to a room's ``own`` names. Raises ConfigError for one it already has."""
    found = {name: target for _, table in sources(kind) for name, target in table.items()}
    for name in own:
        if name in found:
            raise _taken(kind, name)
    return found


def task_folder(name: str) -> Path:
    """Folder of a known task; ConfigError with a suggestion otherwise."""
    return Path(find("tasks", name))


def board_file(name: str) -> Path:
    """A board by name or by path to a YAML file."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    return Path(find("boards", name))


def register(kind: Kind, name: str, target: Any) -> None:
    """Add a name in this process: an object, or ``"module:attribute"`` to load when first used."""
    check_slug(name, _one(kind))
    _add("registered here", {kind: {name: target}})


def register_method(name: str, target: Any) -> None:
    """Add a method under a name: a class, or ``"module:Class"`` to load when first used."""
    register("methods", name, target)


def load_plugin(source: str) -> None:
    """Import a plug-in, a module name or a .py file, with tables such as METHODS.

    METHODS, COMMANDS, PREPARATIONS, RETRIEVERS and METRICS map names to objects or
    ``"module:attribute"``; TASKS to folders that hold a task.yaml and BOARDS to YAML files, both
    beside the plug-in unless absolute; MODELS and ENCODERS to fields of their catalogues' entries.
    """
    before, imported = _size(), dict(sys.modules)
    module = _import_file(Path(source)) if source.endswith(".py") else _import_module(source)
    _add_module(source, module, before, known=imported.get(module.__name__) is module)


def broken() -> Mapping[str, str]:
    """Installed plug-ins that cannot be used, and why, each in one line."""
    _load_installed()
    return dict(_broken)


def broken_note() -> str:
    """The end of an error about an unknown name: it may be of a plug-in that is broken."""
    return "".join(f"; plug-in '{name}' cannot be used: {why}" for name, why in _broken.items())


def _loaded(kind: Kind) -> Iterator[tuple[str, Table]]:
    if kind == "tasks":
        yield "tasks", {file.parent.name: file.parent for file in _files("tasks", "*/task.yaml")}
    if kind == "boards":
        yield "leaderboards", {file.stem: file for file in _files("leaderboards/boards", "*.yaml")}
    for package in _PACKAGES.get(kind, ()):
        yield package, getattr(_package(package), kind.upper(), {})
    for source, tables in list(_plugins.items()):
        yield source, tables.get(kind, {})
    if kind == "methods":
        for point in _points("memory_harness.methods"):
            yield point.value, {point.name: point}


def _files(folder: str, pattern: str) -> list[Path]:
    return sorted((HOUSE / folder).glob(pattern))


def _package(name: str) -> ModuleType:
    """A package of the house. Raises ConfigError if a module of the same name is in its way."""
    spec = importlib.util.find_spec(name)
    place = Path(spec.origin or name) if spec is not None else None
    own = HOUSE.joinpath(*name.split("."))
    if place is None:
        raise ConfigError(f"{own}: missing; install memory-harness again")
    if place.parent.resolve() != own.resolve():
        raise ConfigError(
            f"{place}: in the way of memory-harness's own package '{name}'; rename it, or leave "
            "its folder and take it off PYTHONPATH"
        )
    return importlib.import_module(name)


@cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


def _load_installed() -> None:
    for point in _points("memory_harness.plugins"):
        if point.name in _plugins or point.name in _broken:
            continue
        before = _size()
        try:
            _add_module(point.name, point.load(), before)
        except HarnessError as error:
            _broken[point.name] = str(error)
        # Somebody else's code; it must not break what does not need it.
        except Exception as error:
            _broken[point.name] = _reason(error)


def _add_module(source: str, module: ModuleType, before: int, *, known: bool = False) -> None:
    tables = {kind: _table(kind, module, source) for kind in KINDS}
    # A module may also have registered names itself, when it was imported.
    if not any(tables.values()) and _size() == before and not known:
        raise InputError(
            f"plugin '{source}' offers nothing: define METHODS = {{'my-method': MyMethod}}"
        )
    _add(source, tables)


def _add(source: str, tables: Mapping[Kind, Table]) -> None:
    for kind, table in tables.items():
        known = {name: target for _, there in _loaded(kind) for name, target in there.items()}
        for name, target in table.items():
            # The same plug-in twice changes nothing, as for any import.
            if known.get(name, target) != target:
                raise _taken(kind, name)
    place = _plugins.setdefault(source, {kind: {} for kind in KINDS})
    for kind, table in tables.items():
        place[kind].update(table)


def _table(kind: Kind, module: ModuleType, source: str) -> dict[str, Any]:
    table = kind.upper()
    values = getattr(module, table, {})
    if not isinstance(values, dict):
        raise InputError(f"plugin '{source}': {table} must be a dictionary of names")
    checked = {check_slug(str(name), f"plugin {table}"): value for name, value in values.items()}
    if kind in _PATHS:
        folder = Path(module.__file__ or "").parent
        for name, value in checked.items():
            if not isinstance(value, str | Path):
                raise InputError(f"plugin '{source}': {table}: '{name}' must be a path")
        return {name: folder / Path(value).expanduser() for name, value in checked.items()}
    return checked


def _taken(kind: Kind, name: str) -> ConfigError:
    return ConfigError(f"{_one(kind)} '{name}' exists already; choose another name")


def _size() -> int:
    return sum(len(table) for tables in _plugins.values() for table in tables.values())


def _one(kind: Kind) -> str:
    return kind.removesuffix("s")


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise InputError(f"plugin '{name}' cannot be imported: {_reason(error)}") from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"plugin file '{path}' does not exist")
    name = f"memory_harness_plugin_{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path.absolute()):
        return loaded  # as for any import, the second one changes nothing
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"plugin file '{path}' is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(f"plugin file '{path}' cannot be imported: {_reason(error)}") from error
    return module


def _reason(error: Exception) -> str:
    """An error in somebody else's code, with the place where it happened."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    file, line = last.filename, last.lineno
    if isinstance(error, SyntaxError):
        file, line = error.filename or file, error.lineno
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message} ({file}:{line})"
