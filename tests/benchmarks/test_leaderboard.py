"""The benchmark's runs are as the harness makes them: none is left out, all are in the tables."""

from __future__ import annotations

from pathlib import Path

from leaderboards.board import build
from tests.benchmarks.leaderboard import make_runs


def test_made_up_runs_are_sound(tmp_path: Path) -> None:
    make_runs(tmp_path, questions=30, methods=2, tasks=2, prompt=100)
    board = build(tmp_path, strict=True)
    assert not board.notes
    assert [len(table.rows) for table in board.tables] == [2, 2, 2]
