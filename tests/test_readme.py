"""The README's own methods keep the rules of a method, and a type checker's reader can follow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import check_method
from harness.registry import load_plugin, sources
from tests.readme import README

PAGES = (README, README.parent / "methods" / "README.md")
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
ALL = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", TEXT, re.S)
# Retrievers and metrics of plug-ins are followed in tests/harness/registry/test_readme.py.
BLOCKS = [(name, code) for name, code in ALL if "METHODS = {" in code]


@pytest.mark.parametrize(("name", "code"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_an_example_is_a_plugin_whose_method_keeps_the_rules(
    name: str, code: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(code)
    load_plugin(str(tmp_path / name))
    ((_, own),) = [found for found in sources("methods") if found[0] == str(tmp_path / name)]
    (cls,) = own.values()
    assert "answers depend on the question and the seed alone" in check_method(cls)


def test_both_halves_of_the_contract_are_shown() -> None:
    assert len(BLOCKS) == 2
    assert "def write(" in BLOCKS[1][1]
