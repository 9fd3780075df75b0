"""Names to things, and plugins: what they may hold and what a broken one says."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from harness.boards.method_entry import load_method
from harness.errors import ConfigError, HarnessError, InputError
from harness.registry import board_file, load_plugin, names, register_method, task_folder
from tests.harness.lab import Ask

PLUGIN = """
from harness.method import Method, MethodCard
from harness.records import Prediction

class Parrot(Method):
    card = MethodCard("Parrot", "Repeats the question.")

    async def answer(self, query):
        return Prediction(query.text)

METHODS = {"parrot": Parrot, "lazy-parrot": "tests.harness.lab:Ask"}
TASKS = {"zoo": "/data/zoo"}
BOARDS = {"birds": "/data/birds.yaml"}
"""


@pytest.fixture
def plugin(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "my_plugin.py"
        path.write_text(text)
        return str(path)

    return write


def test_a_plugin_adds_names(plugin) -> None:
    load_plugin(plugin(PLUGIN))
    assert {"parrot", "lazy-parrot", "bm25"} <= set(names("methods"))
    assert load_method("parrot").card.title == "Parrot"
    assert load_method("lazy-parrot") is Ask
    assert task_folder("zoo") == Path("/data/zoo")
    assert board_file("birds") == Path("/data/birds.yaml")


def test_a_plugin_given_twice_is_one_plugin(plugin) -> None:
    path = plugin(PLUGIN)
    load_plugin(path)
    parrot = load_method("parrot")
    load_plugin(path)
    assert load_method("parrot") is parrot


def test_a_plugin_that_registers_itself_may_be_given_twice(plugin) -> None:
    path = plugin("from harness.registry import register\nregister('metrics', 'half', 'a:b')\n")
    load_plugin(path)
    load_plugin(path)
    assert "half" in names("metrics")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1", "offers nothing: define METHODS"),
        ("METHODS = {}", "offers nothing"),
        ("METHODS = ['a']", "METHODS must be a dictionary"),
        ("def broken(:", r"SyntaxError: .*my_plugin.py:1\)"),
        ("\n\nimport no_such_module", r"No module named 'no_such_module' \(.*my_plugin.py:3\)"),
        ("import sys; sys.exit(3)", r"SystemExit: 3 \(.*my_plugin.py:1\)"),
        ("\n1 / 0", r"ZeroDivisionError: division by zero \(.*my_plugin.py:2\)"),
        ("METHODS = {'../x': 'a:B'}", "name '../x' cannot become a folder"),
        ("TASKS = {'../x': 'a'}", "name '../x' cannot become a folder"),
        ("METHODS = {'bm25': 'a:B'}", "method 'bm25' exists already"),
    ],
)
def test_a_broken_plugin_is_one_line(plugin, text: str, problem: str) -> None:
    with pytest.raises(HarnessError, match=problem) as raised:
        load_plugin(plugin(text))
    assert "\n" not in str(raised.value)


def test_plugins_that_are_not_there() -> None:
    with pytest.raises(InputError, match=r"plugin file 'no.py' does not exist"):
        load_plugin("no.py")
    with pytest.raises(InputError, match="plugin 'no_such_module' cannot be imported"):
        load_plugin("no_such_module")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("no_such_module:X", "cannot be loaded from 'no_such_module:X'"),
        ("tests.harness.lab:NoSuch", "has no attribute 'NoSuch'"),
        ("json:dumps", "is not a subclass of harness.method.Method"),
        (int, "is not a subclass"),
        (type("NoCard", (Ask,), {}), None),
        ("harness.method:Method", "class Method lacks answer, card"),
        (EntryPoint("x", "no_such_module:X", "memory_harness.methods"), "cannot be loaded"),
    ],
)
def test_targets_that_are_no_method(target, problem: str | None) -> None:
    register_method("mine", target)
    if problem is None:
        assert load_method("mine") is target
        return
    with pytest.raises(ConfigError, match=problem):
        load_method("mine")


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"unknown method 'BM25'; did you mean 'bm25'\? \(known"):
        load_method("BM25")
    with pytest.raises(ConfigError, match=r"unknown task 'hotpot'; did you mean 'hotpotqa'"):
        task_folder("hotpot")


def test_every_built_in_method_loads() -> None:
    for name in names("methods"):
        assert load_method(name).card.title
