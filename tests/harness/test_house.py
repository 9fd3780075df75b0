"""The engine knows no method, task or table by name, neither in code nor in words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import harness

HARNESS = Path(harness.__file__).parent
FILES = sorted(HARNESS.rglob("*.py"))
_MODULE = re.compile(r"(?<![\w.])(methods|leaderboards|tasks)\.[a-z_]\w*")


def strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_no_string_reaches_a_module_of_another_package() -> None:
    found = []
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        if _MODULE.search(text):
            found += [(file, said) for said in strings(ast.parse(text)) if _MODULE.search(said)]
    assert found == []


def test_no_file_of_the_engine_speaks_of_one_method() -> None:
    texts = [*FILES, *HARNESS.rglob("*.yaml")]
    found = [file for file in texts if "parametric" in file.read_text(encoding="utf-8").lower()]
    assert found == []


def test_the_top_of_the_engine_can_be_overlooked() -> None:
    assert len([file for file in HARNESS.glob("*.py") if file.name != "__init__.py"]) <= 17


def test_the_registry_is_the_lowest_layer() -> None:
    trees = [ast.parse(f.read_text(encoding="utf-8")) for f in HARNESS.glob("registry/*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    used = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    of_house = {name for name in used if name.startswith("harness")}
    assert {name for name in of_house if not name.startswith("harness.registry")} == {
        "harness.errors",
        "harness.files",
    }


def test_one_place_knows_what_a_tilde_stands_for() -> None:
    """A user without a home folder is told so, not shown a traceback."""
    files = [file for file in FILES if ".expanduser(" in file.read_text(encoding="utf-8")]
    assert [file.name for file in files] == ["files.py"]
