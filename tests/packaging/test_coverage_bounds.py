"""The bounds of coverage: lines and branches each have their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.coverage_bounds import is_enough, told

PROGRAM = """
def told(values):
    for value in values:
        print(value)

told({values})
{lines}
"""


def measured(folder: Path, values: list[int]) -> dict[str, Any]:
    """What coverage itself reports of a program, most of whose lines always run."""
    (folder / "program.py").write_text(PROGRAM.format(values=values, lines="x = 1\n" * 40))
    own = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    coverage = [sys.executable, "-m", "coverage"]
    for command in (["run", "--branch", "--rcfile=", "program.py"], ["json", "-o", "found.json"]):
        subprocess.run([*coverage, *command], cwd=folder, env=own, check=True, timeout=60)
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


def test_lines_do_not_make_up_for_branches_and_the_file_is_named(tmp_path: Path) -> None:
    found = measured(tmp_path, [])
    assert not is_enough(found)
    assert list(told(found)) == [
        "lines: 97.73 % reached, 95 % wanted",
        "branches: 50.00 % reached, 90 % wanted",
        "  1 branches of program.py",
    ]


def test_all_of_both_is_enough(tmp_path: Path) -> None:
    assert is_enough(measured(tmp_path, [1]))
