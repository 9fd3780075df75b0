"""Files to start from: a method with its test, or a task, under a name of the author's own."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from harness.errors import InputError
from harness.files import writing
from harness.registry import names

STARTS = Path(__file__).parent / "starts"
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*\Z")
_TEST = "test_start_here.py"


def new_method(name: str, folder: Path, *, memory: bool = False, package: bool = False) -> Path:
    """Write a working method and its test into a folder, and return the method's file.

    ``memory`` starts with one that has write, load and storage; ``package`` makes a folder of its
    own below ``folder``, which pip installs. Raises InputError, before anything is written, for a
    name that is none or is taken, and for files that exist.
    """
    module = _check_name(name, "method", names("methods"))
    place = folder / name if package else folder
    kind = "memory" if memory else "plain"
    files = {
        place / f"{module}.py": STARTS / kind / "start_here.py",
        place / _TEST.replace("start_here", module): STARTS / _TEST,
    }
    if package:
        files[place / "pyproject.toml"] = STARTS / "package" / "pyproject.toml"
    _check_new(files)
    _check_module(name, module)
    _write(name, module, files)
    return place / f"{module}.py"


def new_task(name: str, folder: Path) -> Path:
    """Write a working task into a folder of its name below ``folder``, and return that.

    Raises InputError, before anything is written, for a name that is none or is taken, and for
    files that exist.
    """
    module = _check_name(name, "task", names("tasks"))
    sources = [path for path in sorted((STARTS / "task").rglob("*")) if path.is_file()]
    place = folder / name
    files = {place / path.relative_to(STARTS / "task"): path for path in sources}
    _check_new(files)
    _write(name, module, files)
    return place


def _check_name(name: str, what: str, taken: list[str]) -> str:
    """The name as that of a module."""
    if not _NAME.match(name) or len(name) > 64:
        raise InputError(
            f"{what} name {name!r}: use lower-case words of letters and digits joined by '-', such "
            "as retrieve-twice"
        )
    if name in taken:
        raise InputError(f"{what} '{name}' exists already; choose another name")
    return name.replace("-", "_")


def _check_module(name: str, module: str) -> None:
    """Raise InputError if Python could not import the file, or another one in its place."""
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        why = "is a word of Python's own"
    elif module in sys.stdlib_module_names or find_spec(module) is not None:
        why = f"would hide the module '{module}' that is installed"
    elif module.startswith("test_"):
        why = "would be taken for a test"
    else:
        return
    raise InputError(f"method name '{name}': {module}.py {why}; choose another name")


def _check_new(files: Iterable[Path]) -> None:
    for path in files:
        if path.exists() or path.is_symlink():
            raise InputError(f"{path}: exists already; choose another name or --out FOLDER")


def _write(name: str, module: str, files: Mapping[Path, Path]) -> None:
    title = module.replace("_", " ").capitalize()
    words = {
        "start_here": module,
        "start-here": name,
        "StartHere": "".join(word.capitalize() for word in module.split("_")),
        "Start here": title,
    }
    for path, source in files.items():
        text = source.read_text(encoding="utf-8")
        for old, new in words.items():
            text = text.replace(old, new)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
