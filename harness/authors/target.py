"""Targets: what is to be checked, by name, by ``module:Class`` or by ``file.py:Class``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.errors import HarnessError, InputError, did_you_mean
from harness.files import expanded
from harness.method import Method
from harness.registry import load, resolve
from harness.testing.findings import Breach, BrokenRuleError, Findings
from harness.testing.places import Code
from harness.testing.watch import HungError, Watch

IMPORTED = "it can be imported"


@dataclass(frozen=True, slots=True)
class Target:
    """A class to check, and what was seen while it was imported."""

    cls: type[Any]
    seen: Watch | None = None


def find_target(text: str, seconds: float = 30) -> Target:
    """The class that a text names.

    Raises InputError or ConfigError for a text that names none, and BrokenRuleError for code that
    cannot be imported, or not in ``seconds``.
    """
    place, colon, attribute = text.partition(":")
    if place.endswith(".py"):
        path = expanded(place)
        if not path.is_file():
            raise InputError(f"{path}: file not found; check the path")
        watch = Watch(Code(str(path.absolute())), seconds, path.parent.absolute())
        module = _watched(text, watch, lambda: _import_file(path.absolute()))
        return Target(_class(module, place, attribute), watch)
    if not colon:
        return Target(_as_class(load("methods", text), text))
    _check_there(place)
    watch = Watch(Code(None), seconds, Path("/dev"))
    module = _watched(text, watch, lambda: importlib.import_module(place))
    return Target(_class(module, place, attribute), watch)


def _import_file(path: Path) -> ModuleType:
    name = f"memory_harness_checked_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: is not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickles look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _check_there(module: str) -> None:
    """Raise InputError if there is no such module; a package above it is imported."""
    try:
        there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        there = False
    except Exception:
        return  # told when it is imported, with its place
    if not there:
        raise InputError(
            f"there is no module '{module}' to import; give its file (FILE.py:CLASS), or install "
            "its package (pip install -e FOLDER)"
        )


def _watched(text: str, watch: Watch, imported: Callable[[], ModuleType]) -> ModuleType:
    fix = "mend it; 'python -c' with an import of it shows the same error"
    try:
        return watch.run("import", imported)
    except HarnessError:
        raise
    except HungError as error:
        told = f"importing hangs: {error}"
    # Whatever the code may raise, SystemExit among it: nothing of it is the harness's.
    except (Exception, SystemExit) as error:
        told = watch.code.told(error)
        if isinstance(error, ModuleNotFoundError) and _beside(watch.code.file, error.name):
            told += f"; {error.name} lies beside it, but its folder is not on the import path"
            fix = "make a package of them (new-method --package), or put the folder on PYTHONPATH"
    raise BrokenRuleError(Findings(text, broken=(Breach(IMPORTED, told, fix),)))


def _beside(file: str | None, module: str | None) -> bool:
    """Whether a module that was not found lies in the same folder as a file."""
    name = (module or "").partition(".")[0]
    place = Path(file or "").parent / name
    return bool(file and name) and (place.is_dir() or place.with_suffix(".py").is_file())


def _class(module: ModuleType, place: str, attribute: str) -> type[Any]:
    if attribute:
        found = getattr(module, attribute, None)
        if found is None:
            known = sorted(_offered(module))
            raise InputError(f"{place} has no '{attribute}'{did_you_mean(attribute, known)}")
        return _as_class(found, f"{place}:{attribute}")
    offered = _offered(module)
    if len(offered) != 1:
        which = ", ".join(f"{place}:{name}" for name in sorted(offered)) or "no method in it"
        raise InputError(f"{place}: name the class to check ({which})")
    return next(iter(offered.values()))


def _offered(module: ModuleType) -> Mapping[str, type[Any]]:
    """The methods of a module's table by the names of their classes; without one, those in it."""
    table = getattr(module, "METHODS", None)
    if isinstance(table, dict) and table:
        found = [resolve(target, f"method '{name}'") for name, target in table.items()]
    else:
        every = vars(module).values()
        found = [each for each in every if getattr(each, "__module__", "") == module.__name__]
        found = [each for each in found if inspect.isclass(each) and issubclass(each, Method)]
        found = [each for each in found if not inspect.isabstract(each)]
    return {each.__name__: each for each in found if inspect.isclass(each)}


def _as_class(found: Any, name: str) -> type[Any]:
    if not inspect.isclass(found):
        raise InputError(f"{name} is {found!r:.60}, not a class; name a subclass of harness.Method")
    return found
