"""Files put in place whole: what a kill leaves goes with the next write, and nobody is overrun."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.files import atomic_file, staged


def killed(work: Callable[[], None]) -> None:
    """Work in a child that kills itself."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def write(path: Path, content: bytes) -> None:
    with atomic_file(path) as file:
        file.write(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_writer_left_is_gone_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write(path, b"old")

    def half() -> None:
        with atomic_file(path) as file:
            file.write(b"a long half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    killed(half)
    assert (path.read_bytes(), len(names(tmp_path))) == (b"old", 2)
    write(path, b"new")
    assert (path.read_bytes(), names(tmp_path)) == (b"new", ["scores.json"])


def test_of_a_killed_folder_nothing_is_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "index"

    def half() -> None:
        with staged(path, folder=True) as place:
            (place / "part").mkdir()
            (place / "part" / "one").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)

    killed(half)
    with staged(path, folder=True) as place:
        assert names(place) == []
        (place / "two").write_text("whole")
        place.rename(path)
    assert (names(tmp_path), names(path)) == (["index"], ["two"])


@pytest.mark.parametrize("folder", [False, True])
def test_an_error_leaves_nothing(tmp_path: Path, folder: bool) -> None:
    with pytest.raises(KeyError), staged(tmp_path / "x", folder=folder):
        raise KeyError
    assert names(tmp_path) == []


def test_of_two_writers_at_once_both_finish_and_the_last_stays(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    with atomic_file(path) as first:
        first.write(b"first")
        write(path, b"second")
        assert path.read_bytes() == b"second"
    assert (path.read_bytes(), names(tmp_path)) == (b"first", ["scores.json"])


def test_an_end_takes_nothing_from_a_writer_that_came_after(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    with staged(path) as one:
        one.rename(path)
        with staged(path) as other:
            assert other == one
            other.write_text("other")
    with staged(path) as one:
        one.rename(path)
        held = staged(path)
        place = held.__enter__()
    assert place.exists()
    held.__exit__(None, None, None)
    assert names(tmp_path) == ["scores.json"]


def test_a_link_in_its_place_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".scores.json.tmp").symlink_to(tmp_path / "mine")
    write(tmp_path / "scores.json", b"new")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "scores.json").read_bytes() == b"new"
    assert not (tmp_path / "scores.json").is_symlink()


@pytest.mark.parametrize("folder", [False, True])
def test_a_disk_without_locks_is_written_to(
    tmp_path: Path, folder: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with staged(tmp_path / "x", folder=folder) as place:
        assert [path.name for path in tmp_path.iterdir()] == [place.name]
        assert place.name != ".x.tmp"
        place.rename(tmp_path / "x")
    assert names(tmp_path) == ["x"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}/no/x: cannot write there"):
        write(tmp_path / "no" / "x", b"")
    assert names(tmp_path) == []
