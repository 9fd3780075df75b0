"""The names that a plug-in's author imports from ``harness``."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import harness


@pytest.mark.parametrize("name", harness.__all__)
def test_a_public_name_is_what_its_home_defines(name: str) -> None:
    home = import_module(harness._HOMES[name])
    assert getattr(harness, name) is vars(home)[name]


def test_type_checkers_see_the_same_names_and_homes() -> None:
    stub = Path(harness.__file__).with_suffix(".pyi")
    imports = [
        node for node in ast.parse(stub.read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    seen = {alias.asname: node.module for node in imports for alias in node.names}
    assert seen == harness._HOMES


def test_another_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'Metod'"):
        _ = harness.Metod


def test_importing_harness_loads_nothing_else() -> None:
    code = "import harness, sys; print([m for m in sys.modules if m.startswith('harness.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_version_is_the_distributions() -> None:
    assert harness.__version__ == version("lm-memory-harness")
