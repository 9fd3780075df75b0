"""A user's own ``methods`` or ``tasks``, and other packages of these names, in the way."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import PackagePath, PathDistribution
from pathlib import Path
from types import ModuleType

import pytest

import methods
from harness.boards.file import read_board
from harness.cli import doctor
from harness.errors import ConfigError, InputError
from harness.registry import house, names
from tests.harness.conftest import CommandLine
from tests.harness.registry.conftest import Site

WAY_OUT = "rename it, or leave its folder and take it off PYTHONPATH"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a file into the working folder, which comes first, as with ``python -m``."""

    def write(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('mine was run')\n")
        for package in house.HOUSE.glob("*/__init__.py"):
            if name.startswith(package.parent.name):
                monkeypatch.delitem(sys.modules, package.parent.name, raising=False)
        return path

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return write


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("list", "methods"), "methods.py"),
        (("list", "methods"), "methods/__init__.py"),
        (("run", "--method", "bm25", "--task", "nq"), "methods.py"),
        (("train", "smollm2-135m-instruct", "--out", "x"), "methods.py"),
        (("leaderboard", "runs"), "leaderboards.py"),
    ],
)
def test_a_module_in_the_way_is_named(cli: CommandLine, mine, arguments, name: str) -> None:
    path, package = mine(name), name.removesuffix(".py").partition("/")[0]
    whose = f"memory-harness's own package '{package}'"
    assert cli.refuses(*arguments) == f"error: {path}: in the way of {whose}; {WAY_OUT}"


def test_tasks_and_boards_are_found_whatever_lies_in_the_folder(cli: CommandLine, mine) -> None:
    mine("tasks.py")
    assert cli("describe", "nq").code == 0
    mine("leaderboards.py")
    assert "hotpotqa" in cli("list", "tasks").out
    assert "quickstart" in cli("list", "boards").out


def test_every_shipped_board_can_be_read_from_anywhere(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert all(read_board(name).name == name for name in names("boards"))
    with pytest.raises(InputError, match="no such board file"):
        read_board("./quickstart.yaml")


def test_a_module_that_a_notebook_imported_before(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("methods")
    monkeypatch.setitem(sys.modules, "methods", module)
    with pytest.raises(ConfigError, match=r"^<module 'methods'>: in the way of memory-harness's"):
        names("methods")
    module.__file__ = "/somebody/methods.py"
    with pytest.raises(ConfigError, match="^/somebody/methods.py: in the way of memory-harness's"):
        names("methods")
    del module.__file__
    module.__path__ = ["/somebody/methods"]  # a folder without an __init__.py
    with pytest.raises(ConfigError, match="^/somebody/methods: in the way of memory-harness's own"):
        names("methods")


def test_another_package_of_the_name_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    info = site.install("intruder", "", methods="")
    (info / "RECORD").write_text("methods.py,,\nintruder-1.0.dist-info/METADATA,,\n")
    monkeypatch.delitem(sys.modules, "methods")
    with pytest.raises(ConfigError) as raised:
        names("methods")
    assert str(raised.value) == (
        f"{site.folder}/methods.py: in the way of memory-harness's own package 'methods'; it is of "
        "intruder: uninstall that, or give memory-harness its own environment"
    )


def test_a_package_that_another_one_overwrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(methods, "COMMANDS")
    monkeypatch.delattr(methods, "METHODS")
    with pytest.raises(ConfigError, match=r"methods/__init__.py: overwritten, so that memory-harn"):
        names("methods")
    info = house.HOUSE / "intruder-1.0.dist-info"
    found = PathDistribution(info)
    monkeypatch.setattr(PathDistribution, "files", [PackagePath("methods/__init__.py")])
    monkeypatch.setattr(PathDistribution, "metadata", {"Name": "intruder"})
    monkeypatch.setattr(house, "distributions", lambda path: [found])
    with pytest.raises(ConfigError, match="overwritten by intruder, so that memory-harness's own"):
        names("methods")


def test_doctor_finds_what_is_in_the_way(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("feathers", "[memory_harness.methods]\nfly = wing:Fly\n")
    monkeypatch.setitem(sys.modules, "methods", ModuleType("methods"))
    monkeypatch.setattr(doctor, "_hub", lambda: "not asked")
    assert "<module 'methods'>: in the way of" in dict(doctor.findings())["plug-in names"]


def test_a_package_that_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(house, "HOUSE", tmp_path)
    with pytest.raises(ConfigError, match="methods: missing; install memory-harness again"):
        names("methods")
