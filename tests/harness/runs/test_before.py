"""Run folders of commit 5693356 (made by ``before/make.py``): read and continued, byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.report import NOT_COMPARABLE
from harness.runs.directory import find_runs
from tests.harness.conftest import CommandLine

BEFORE = Path(__file__).parent / "before"
COMMANDS = {
    "leaderboard.md": ("leaderboard", "whole"),
    "leaderboard.csv": ("leaderboard", "whole", "--format", "csv"),
    "leaderboard.json": ("leaderboard", "whole", "--format", "json"),
    "compare.txt": ("compare", "whole", "bm25 (k=2)", "ircot (max_steps=2)", "--metric", "f1"),
    "show.txt": ("show", "whole", "q3", "--full"),
    "analyse.md": ("analyse", "whole", "--out", "analysis"),
    "score.txt": ("score", "whole"),
}


def printed(path: Path) -> str:
    """What that commit printed, but for its caution about slices: these are a user's own files."""
    text = path.read_text(encoding="utf-8")
    in_json = f',\n        "{NOT_COMPARABLE}"'
    return text.replace(f"- {NOT_COMPARABLE}\n", "").replace(in_json, "")


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
    assert done.out == printed(BEFORE / "outputs" / name)


def test_tables_of_an_analysis_are_the_same(cli: CommandLine, before: Path) -> None:
    shutil.rmtree("analysis")
    assert cli("analyse", "whole", "--out", "analysis").code == 0
    for table in (BEFORE / "analysis").iterdir():
        assert (before / "analysis" / table.name).read_bytes() == printed(table).encode()


def test_scores_made_again_are_the_same(cli: CommandLine, before: Path) -> None:
    scores = sorted(before.glob("whole/*/*/*/scores.json*"))
    assert len(scores) == 2 * 8
    for path in scores:
        path.unlink()
    assert cli("score", "whole").code == 0
    for path in scores:
        assert path.read_bytes() == (BEFORE / path.relative_to(before)).read_bytes()


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
