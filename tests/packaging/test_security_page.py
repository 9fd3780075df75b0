"""The page on trust: every line of it is held by a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)


def test_every_line_of_its_table_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 10
    assert [row for row in rows if "::test_" not in row.rpartition(" | ")[2]] == []


def test_the_tests_that_it_names_are_there() -> None:
    lacking = [
        f"{file}::{name}"
        for file, name in TESTS
        if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert TESTS and lacking == []
