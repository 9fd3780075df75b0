"""A kill, and a full disk, at changes of files by a user's commands; ``make faults`` takes all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from harness.boards.method_entry import load_method
from harness.method import writes_memory
from harness.registry import names
from tests.harness.faults.acts import ACTS, MEMORIES

POINTS = int(os.environ.get("FAULT_POINTS", "0"))
"""At how many changes of every act each fault comes, spread evenly; 0: at a few of FEW."""
FEW = ("run", "write parametric-qa", "index bm25", "import")


def met(folder: Path, points: int, *acts: str) -> list[dict[str, str]]:
    """Each fault that the acts met, and what was wrong."""
    command = [sys.executable, "-m", "tests.harness.faults", str(folder), str(points), *acts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(10_000)
@pytest.mark.parametrize("acts", [(act,) for act in ACTS] if POINTS else [FEW], ids=" ".join)
def test_killed_they_go_on_to_the_same_bytes_and_a_full_disk_is_told(
    tmp_path: Path, acts: tuple[str, ...]
) -> None:
    found = met(tmp_path, POINTS or 1, *acts)
    print(*Counter(f"{each['act']}, {each['how']}" for each in found).items(), sep="\n")
    assert {(each["act"], each["how"]) for each in found} == {
        (act, how) for act in acts for how in ("killed", "full")
    }
    assert [each for each in found if each["wrong"]] == []


def test_every_method_that_writes_a_memory_of_its_own_is_met() -> None:
    classes = {name: load_method(name) for name in names("methods")}
    own = {name for name, cls in classes.items() if writes_memory(cls) and not cls.writes_as}
    assert own == MEMORIES.keys()
