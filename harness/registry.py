"""Names to things: built-in tables, entry points and ``--plugin`` modules, loaded lazily."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from harness.errors import ConfigError, InputError, did_you_mean
from harness.files import check_slug

if TYPE_CHECKING:
    from harness.method import Method

T = TypeVar("T")

_plugin_methods: dict[str, str | type[Method]] = {}
_plugin_tasks: dict[str, str] = {}
_plugin_boards: dict[str, str] = {}


def method_names() -> list[str]:
    """Every known method, loading none."""
    return sorted(_methods())


def load_method(name: str) -> type[Method]:
    """The method class of a name; ConfigError with a suggestion if it is unknown."""
    from harness.method import Method

    target = _lookup(name, _methods(), "method")
    cls = _resolve(target, f"method '{name}'")
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise ConfigError(f"method '{name}': {target!r} is not a subclass of harness.method.Method")
    missing = sorted(cls.__abstractmethods__) + ([] if hasattr(cls, "card") else ["card"])
    if missing:
        raise ConfigError(f"method '{name}': class {cls.__name__} lacks {', '.join(missing)}")
    return cls


def task_folders() -> dict[str, str]:
    """Task name to the folder that holds its task.yaml."""
    return {**importlib.import_module("tasks").TASKS, **_plugin_tasks}


def task_folder(name: str) -> Path:
    """Folder of a known task; ConfigError with a suggestion otherwise."""
    return Path(_lookup(name, task_folders(), "task"))


def board_files() -> dict[str, str]:
    """Board name to its YAML file."""
    return {**importlib.import_module("leaderboards").BOARDS, **_plugin_boards}


def board_file(name: str) -> Path:
    """A board by name or by path to a YAML file."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    return Path(_lookup(name, board_files(), "board"))


def register_method(name: str, target: str | type[Method]) -> None:
    """Add a method under a name: a class, or ``"module:Class"`` to load when first used."""
    check_slug(name, "method")
    if name in _methods():
        raise ConfigError(f"method '{name}' exists already; choose another name")
    _plugin_methods[name] = target


def load_plugin(source: str) -> None:
    """Import a plugin: a module name or a .py file, with METHODS, TASKS or BOARDS tables.

    METHODS maps names to Method classes (or ``"module:Class"``), TASKS to folders that hold a
    task.yaml, BOARDS to YAML files.
    """
    before = len(_plugin_methods)
    module = _import_file(Path(source)) if source.endswith(".py") else _import_module(source)
    methods, tasks, boards = (
        _table(module, table, source) for table in ("METHODS", "TASKS", "BOARDS")
    )
    for name, target in methods.items():
        if _plugin_methods.get(name) is not target:
            register_method(name, target)
    _plugin_tasks.update(tasks)
    _plugin_boards.update(boards)
    # A module may also have called register_method itself.
    if not (methods or tasks or boards) and len(_plugin_methods) == before:
        raise InputError(
            f"plugin '{source}' offers nothing: define METHODS = {{'my-method': MyMethod}}"
        )


def _table(module: ModuleType, table: str, source: str) -> dict[str, Any]:
    names = getattr(module, table, {})
    if not isinstance(names, dict):
        raise InputError(f"plugin '{source}': {table} must be a dictionary of names")
    return {check_slug(str(name), f"plugin {table}"): value for name, value in names.items()}


def _methods() -> dict[str, str | type[Method] | EntryPoint]:
    points = {point.name: point for point in entry_points(group="memory_harness.methods")}
    return {**points, **_plugin_methods, **importlib.import_module("methods").METHODS}


def _lookup(name: str, table: Mapping[str, T], what: str) -> T:
    if name not in table:
        raise ConfigError(f"unknown {what} '{name}'{did_you_mean(name, list(table))}")
    return table[name]


def _resolve(target: str | type[Method] | EntryPoint, what: str) -> object:
    try:
        if isinstance(target, EntryPoint):
            return target.load()
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ConfigError(f"{what} cannot be loaded from {target!r}: {_reason(error)}") from error
    return target


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
