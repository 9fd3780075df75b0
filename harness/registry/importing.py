"""Imports of code that is not the house's: errors in one line, nothing on standard output."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import reduce
from pathlib import Path
from threading import Timer
from types import ModuleType
from typing import Any, TypeVar

from harness.errors import HarnessError, InputError

PATIENCE = 10.0
"""Seconds after which a warning says what is being imported."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class ImportFailedError(HarnessError):
    """Code of a plug-in that cannot be imported, and where it stopped."""


def attribute(target: str, what: str) -> Any:
    """The object of ``module:attribute``. Raises ImportFailedError."""
    module, _, name = target.partition("[")[0].partition(":")
    if not name.strip():
        raise ImportFailedError("it names no object; write MODULE:OBJECT")
    module, names = module.strip(), name.strip().split(".")
    loaded = sys.modules.get(module)
    if loaded is not None and names[0] in vars(loaded):
        return reduce(getattr, names, loaded)
    return _at_work(what, lambda: reduce(getattr, names, importlib.import_module(module)))


def import_module(name: str, what: str) -> ModuleType:
    """A module by name; ``what`` is named if that takes long. Raises ImportFailedError."""
    return _at_work(what, lambda: importlib.import_module(name))


def import_file(path: Path, what: str) -> ModuleType:
    """A module by its file; a second time it is the same one. Raises ImportFailedError."""
    name = f"memory_harness_plugin_{path.stem}"
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__file__ == str(path.absolute()):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportFailedError("not a Python module")
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    sys.modules[name] = module
    try:
        _at_work(what, lambda: loader.exec_module(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def import_plugin(source: str) -> ModuleType:
    """What ``--plugin`` names, a module or a .py file. Raises InputError."""
    is_file, what = source.endswith(".py"), f"plugin '{source}'"
    if is_file and not Path(source).is_file():
        raise InputError(f"plugin file '{source}' does not exist")
    try:
        if is_file:
            return import_file(Path(source), what)
        return import_module(source, what)
    except ImportFailedError as error:
        called = f"plugin {'file ' if is_file else ''}'{source}'"
        raise InputError(f"{called} cannot be imported: {error}") from error


def package_folder(name: str, what: str) -> Path:
    """The folder of a package, which is not itself imported. Raises ImportFailedError."""
    spec = _at_work(what, lambda: importlib.util.find_spec(name))
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise ImportFailedError(f"there is no package (a folder) '{name}'")
    return Path(places[0])


def _at_work(what: str, run: Callable[[], T]) -> T:
    """The result of somebody else's code, whatever it does. Raises ImportFailedError."""
    try:
        # Both are put back, whatever it made of them.
        with _watched(what), redirect_stdout(sys.stderr), redirect_stderr(sys.stderr):
            return run()
    except KeyboardInterrupt:
        raise
    # A module may also end by sys.exit(), or by what a test runner raises to skip it.
    except BaseException as error:
        raise ImportFailedError(_reason(error)) from error


@contextmanager
def _watched(what: str) -> Iterator[None]:
    timer = Timer(PATIENCE, _log.warning, (f"importing {what} takes more than {PATIENCE:g} s",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _reason(error: BaseException) -> str:
    """An error in somebody else's code, with the place where it happened if it is there."""
    message = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {message} ({error.filename}:{error.lineno})"
    inner = (importlib.__file__, __file__)
    places = [
        f" ({frame.filename}:{frame.lineno})"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in inner and not frame.filename.startswith("<frozen ")
    ]
    return f"{type(error).__name__}: {message}".rstrip(": ") + "".join(places[-1:])
