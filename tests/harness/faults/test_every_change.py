"""A kill, and a full disk, at changes of files by a user's commands; ``make faults`` takes all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.runs.directory import find_runs

POINTS = int(os.environ.get("FAULT_POINTS", "16"))
"""How many of the changes, spread evenly, each fault comes at."""
FILES = ("predictions.jsonl", "scores.jsonl", "scores.json")


def met(how: str, folder: Path) -> list[tuple[int, int, str, int, str]]:
    """Of each point: its number, status and words of the commands there, and when they go on."""
    command = [sys.executable, "-m", "tests.harness.faults.acts", how, str(folder), str(POINTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr
    changes, rows = json.loads(done.stdout)
    assert changes > 100 and len(rows) >= min(POINTS, changes)
    return [tuple(row) for row in rows]


def outcome(out: Path) -> dict[str, bytes]:
    """What may not depend on a fault, of the runs and of what was unpacked of them."""
    kept = {}
    for place in ("runs", "again"):
        folders = find_runs(out / place)
        assert len(folders) == 2
        for folder in folders:
            assert not list(folder.glob(".*.tmp"))
            for name in FILES:
                kept[f"{place}/{folder.parent.name}/{name}"] = (folder / name).read_bytes()
    assert (out / "board.html").stat().st_size > 100_000
    assert (out / "board.csv").stat().st_size > 100
    return kept


@pytest.mark.slow
def test_killed_commands_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    killed = met("killed", tmp_path)
    for number, status, said, after, said_after in killed:
        assert (status, said) == (-9, ""), number
        assert (after, json.loads(said_after)) == (0, [0, ""]), number
        assert outcome(tmp_path / f"killed-{number}") == outcome(tmp_path / "whole"), number


@pytest.mark.slow
def test_a_full_disk_is_told_in_one_line_and_the_commands_go_on(tmp_path: Path) -> None:
    for number, status, said, after, said_after in met("full", tmp_path):
        assert status == 0, number
        code, lines = json.loads(said)
        assert "Traceback" not in lines, number
        # What is only kept to be faster next time, nobody needs.
        assert code == 0 or (code == 2 and is_told(lines.splitlines()[-1])), lines
        assert (after, json.loads(said_after)) == (0, [0, ""]), number
        assert outcome(tmp_path / f"full-{number}") == outcome(tmp_path / "whole"), number


def is_told(line: str) -> bool:
    """Whether a line says what could not be written, why, and what to do."""
    return line.startswith("error: /") and "No space left on device" in line and "; " in line
