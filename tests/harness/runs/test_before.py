"""Run folders of commit 5693356 (made by ``before/make.py``): read and continued, byte for byte.

Scores and what is printed of them are of this release: ``memory-harness score`` makes the first
anew, and UPDATE_GOLDEN=1, given twice, rewrites both.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from harness.runs.directory import find_runs
from tests.harness.conftest import CommandLine

BEFORE = Path(__file__).parent / "before"
SHA256 = "predictions_sha256"
UPDATE = os.environ.get("UPDATE_GOLDEN")
COMMANDS = {
    "leaderboard.md": ("leaderboard", "whole"),
    "leaderboard.csv": ("leaderboard", "whole", "--format", "csv"),
    "leaderboard.json": ("leaderboard", "whole", "--format", "json"),
    "compare.txt": ("compare", "whole", "bm25 (k=2)", "ircot (max_steps=2)", "--metric", "f1"),
    "show.txt": ("show", "whole", "q3", "--full"),
    "analyse.md": ("analyse", "whole", "--out", "analysis"),
    "score.txt": ("score", "whole"),
}


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folders, to stand in: outputs name paths."""
    folder = tmp_path / "before"
    shutil.copytree(BEFORE, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_print_what_they_printed(name: str, cli: CommandLine, before: Path) -> None:
    done = cli(*COMMANDS[name])
    assert done.code == 0, done.err
    if UPDATE:
        (BEFORE / "outputs" / name).write_text(done.out, encoding="utf-8")
    assert done.out == (BEFORE / "outputs" / name).read_text(encoding="utf-8")


def test_tables_of_an_analysis_are_the_same(cli: CommandLine, before: Path) -> None:
    shutil.rmtree("analysis")
    assert cli("analyse", "whole", "--out", "analysis").code == 0
    for table in (BEFORE / "analysis").iterdir():
        if UPDATE:
            shutil.copy(before / "analysis" / table.name, table)
        assert (before / "analysis" / table.name).read_bytes() == table.read_bytes()


def test_scores_made_again_are_the_same(cli: CommandLine, before: Path) -> None:
    scores = sorted(before.glob("whole/*/*/*/scores.json*"))
    assert len(scores) == 2 * 8
    for path in scores:
        path.unlink()
    assert cli("score", "whole").code == 0
    for path in scores:
        if UPDATE:
            shutil.copy(path, BEFORE / path.relative_to(before))
        assert path.read_bytes() == (BEFORE / path.relative_to(before)).read_bytes()


def test_scores_of_an_earlier_release_are_shown_and_made_anew(
    cli: CommandLine, before: Path
) -> None:
    kept = ("question_id", "em", "f1", "contains", "recall@5", "all_gold@5", "error")
    for stamp in before.glob("whole/*/*/*/scores.json"):
        early = {"metrics_version": 2, "predictions_sha256": json.loads(stamp.read_bytes())[SHA256]}
        stamp.write_text(json.dumps(early))
        lines = stamp.with_suffix(".jsonl").read_text().splitlines()
        rows = [{name: json.loads(line)[name] for name in kept} for line in lines]
        stamp.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    board = cli("leaderboard", "whole")
    assert board.code == 0 and "metrics 2" in board.out
    assert "8 runs: scores without a hash of their own, of an earlier metrics version" in board.out
    assert cli("run", "board.yaml", "--out", "whole").code == 0
    for path in before.glob("whole/*/bm25/*/scores.json*"):
        assert path.read_bytes() == (BEFORE / path.relative_to(before)).read_bytes()


def test_scores_of_a_release_that_kept_no_hash_are_shown(cli: CommandLine, before: Path) -> None:
    for stamp in before.glob("whole/*/*/*/scores.json"):
        kept = {name: json.loads(stamp.read_bytes())[name] for name in ("metrics_version", SHA256)}
        stamp.write_text(json.dumps(kept))
    board = cli("leaderboard", "whole")
    assert board.out == (BEFORE / "outputs" / "leaderboard.md").read_text(encoding="utf-8")


def test_a_finished_board_is_finished(cli: CommandLine, before: Path) -> None:
    newer = newer_runs(before)
    done = cli("run", "board.yaml", "--out", "whole")
    assert done.code == 0, done.err
    assert done.err.count("finished before") == 8 - len(newer) == 6


def newer_runs(before: Path) -> list[Path]:
    """Runs of methods that have a higher version now, so that theirs are other runs."""
    runs = before.glob("whole/*/*/*/predictions.jsonl")
    return [path for path in runs if path.parents[1].name == "ircot"]


def test_an_interrupted_board_continues_to_the_same_bytes(cli: CommandLine, before: Path) -> None:
    (stopped,) = find_runs(before / "stopped")
    assert len((stopped / "predictions.jsonl").read_text().splitlines()) == 3
    done = cli("run", "board.yaml", "--out", "stopped")
    assert done.code == 0, done.err
    whole = sorted(before.glob("whole/**/predictions.jsonl"))
    assert len(whole) == 8
    same = [path for path in whole if path not in newer_runs(before)]
    for path in [*same, *(path.with_name("scores.jsonl") for path in same)]:
        again = before / "stopped" / path.relative_to(before / "whole")
        assert again.read_bytes() == path.read_bytes()
