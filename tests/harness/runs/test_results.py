"""Results that ship: found by name, checked, unpacked once; said clearly where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.registry import register
from harness.runs.directory import find_runs
from harness.runs.execute import execute
from harness.runs.packing import checksum_of, pack
from harness.runs.results import NoResultsError, find_results
from tests.harness.conftest import CommandLine
from tests.harness.lab import CountingModel, make_plan, quiet, without_torch

NAME = "shipped-by-test"


@pytest.fixture
def archive(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packed results of one run, which ship by a name."""
    without_torch(monkeypatch)
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    execute(make_plan(files), tmp_path / "runs", CountingModel(), None, quiet())
    packed = pack(tmp_path / "runs", tmp_path / "packed" / f"{NAME}.tar.zst").archive
    monkeypatch.setattr("harness.registry._plugins", {})
    register("results", NAME, packed)
    return packed


def test_a_name_stands_for_the_unpacked_results(archive: Path, tmp_path: Path) -> None:
    folder = find_results(Path(NAME))
    (mine,), (theirs,) = find_runs(tmp_path / "runs"), find_runs(folder)
    assert (mine / "predictions.jsonl").read_bytes() == (theirs / "predictions.jsonl").read_bytes()
    assert folder.is_relative_to(tmp_path / "cache")
    assert find_results(Path(NAME)) == folder


def test_every_command_that_takes_runs_takes_the_name(archive: Path, cli: CommandLine) -> None:
    assert "no-such" not in cli("list", "results").out
    assert NAME in cli("list", "results").out
    board = cli("leaderboard", NAME)
    assert board.code == 0 and "toy" in board.out
    assert "q0" in cli("show", NAME, "q0").out
    assert cli("score", NAME).out.endswith(": scored\n")
    assert cli("leaderboard", NAME).out == board.out


def test_a_folder_of_the_name_goes_first(archive: Path, tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    assert find_results(Path(NAME)) == Path(NAME)


def test_what_was_changed_in_the_cache_is_unpacked_again(archive: Path) -> None:
    folder = find_results(Path(NAME))
    (run,) = find_runs(folder)
    before = (run / "scores.jsonl").read_bytes()
    (run / "scores.jsonl").write_bytes(b"")
    assert (find_runs(find_results(Path(NAME)))[0] / "scores.jsonl").read_bytes() == before


def test_a_damaged_archive_is_refused(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(InputError, match="not the file that shipped-by-test.tar.zst.sha256 is of"):
        find_results(Path(NAME))
    checksum_of(archive).unlink()
    with pytest.raises(InputError, match="sha256: missing; install memory-harness again"):
        find_results(Path(NAME))


def test_a_board_without_results_says_how_to_make_them(cli: CommandLine, tmp_path: Path) -> None:
    with pytest.raises(NoResultsError, match="run quickstart --out runs/quickstart"):
        find_results(Path("quickstart"))
    assert find_results(Path("no-such-name")) == Path("no-such-name")


def test_commands_pack_and_unpack(archive: Path, cli: CommandLine, tmp_path: Path) -> None:
    done = cli("pack", "runs", "--out", "new.tar.zst")
    assert "new.tar.zst: 1 runs, " in done.err
    assert cli("unpack", "new.tar.zst", "--out", "one").code == 0
    assert cli("unpack", NAME, "--out", "two").code == 0
    assert cli("leaderboard", "one").out == cli("leaderboard", "two").out
    assert cli.refuses("unpack", NAME, "--out", "two") == (
        "error: two: exists; choose another folder or remove it"
    )
    assert cli.refuses("pack", "runs", "--out", "new.zip").endswith("call it NAME.tar.zst")
