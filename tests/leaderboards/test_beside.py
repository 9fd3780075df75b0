"""Two boards side by side: each with its own questions, named, and never ranked together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.harness.conftest import CommandLine
from tests.leaderboards.conftest import WriteRun


@pytest.fixture
def two(runs: Path, write_run: WriteRun) -> tuple[Path, Path]:
    """A board of 40 questions a task, and one of 8 whose better row is another."""
    for task in ("nq", "hotpotqa"):
        for method, skill in (("none", -0.3), ("bm25", 0.2)):
            write_run(method, task, skill=skill)
        write_run("ircot", task, skill=-0.1, params={"max_steps": 10})
    standing = runs.rename(runs.with_name("standing"))
    runs.mkdir()
    for task in ("nq", "hotpotqa"):
        config = {"questions_fingerprint": f"{task}other" * 8}
        for method, skill in (("none", 0.3), ("bm25", -0.2), ("mine", 0.0)):
            write_run(method, task, skill=skill, questions=8, task_config=config)
        write_run(
            "ircot", task, skill=0.1, questions=8, params={"max_steps": 4}, task_config=config
        )
    return runs, standing


def test_rows_stand_in_the_order_of_the_other_board(
    two: tuple[Path, Path], cli: CommandLine
) -> None:
    own, standing = two
    done = cli("beside", own, standing)
    assert done.code == 0, done.err
    table = [line for line in done.out.splitlines() if line.startswith("| ")]
    names = [line.split("|")[1].strip() for line in table[2:]]
    assert names == ["bm25", "ircot", "none", "mine"]
    assert "standing: F1" in table[0].split("|")[2] and "runs: F1" in table[0].split("|")[3]
    (mine,) = [line for line in table if line.startswith("| mine")]
    assert "—" in mine.split("|")[2] and "[" in mine.split("|")[3]


def test_each_has_its_own_figures(two: tuple[Path, Path], cli: CommandLine) -> None:
    from harness import leaderboard

    done = cli("beside", *two)
    for runs, column in zip(two, (3, 2), strict=True):
        frame = leaderboard(runs)
        means = frame[frame["table"] == "mean"].set_index("method")["f1"]
        for method, value in means.items():
            (line,) = [x for x in done.out.splitlines() if x.startswith(f"| {method} ")]
            shown = float(line.split("|")[column].strip(" *").split()[0])
            assert shown == pytest.approx(100 * value, abs=0.051)


def test_what_keeps_them_apart_is_said(two: tuple[Path, Path], cli: CommandLine) -> None:
    out = " ".join(cli("beside", *two).out.split())
    assert "Two boards, not one ranking: standing asked 80 questions, runs 16" in out
    other = "Other parameters: ircot (max_steps=4) in runs, ircot (max_steps=10) in standing"
    assert re.sub(r"&#(\d+);", lambda m: chr(int(m[1])), out).count(other) == 1


def test_boards_without_a_task_in_common_are_refused(
    two: tuple[Path, Path], write_run: WriteRun, cli: CommandLine, tmp_path: Path
) -> None:
    own, standing = two
    own.rename(tmp_path / "old")
    write_run("bm25", "triviaqa")
    line = cli.refuses("beside", own, standing)
    assert line.endswith(
        "no table over the tasks of " + str(standing) + " (hotpotqa; hotpotqa, nq; nq)"
    )


def test_without_shipped_results_it_says_so_and_goes_on(
    two: tuple[Path, Path], cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path / "runs")
    done = cli("beside", two[0], "quickstart")
    assert (done.code, done.out) == (0, "")
    assert "no results of this board ship with this release" in done.err
