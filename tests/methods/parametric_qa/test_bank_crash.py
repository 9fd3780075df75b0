"""A bank whose writer is stopped anywhere holds what it held before, or what it was to hold.

Called as a program, kills changes in forked children: ``python -m ... FOLDER`` changes copies of
the bank in ``FOLDER/start``, killed at every call to the system that decides what a crash leaves.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.monkeypatch import MonkeyPatch

from harness.errors import InputError
from methods.parametric_qa.memory.bank import BANK_FILE, MemoryBank
from methods.parametric_qa.memory.quantise import to_stored
from tests.methods.parametric_qa.test_bank import config, filled, numbers

CHANGES: dict[str, Callable[[MemoryBank], None]] = {
    "add": lambda bank: bank.add(["g", "h"], numbers(2, 3)),
    "update": lambda bank: bank.update(["b", "e"], numbers(2, 4)),
    "delete": lambda bank: bank.delete(["b", "e"]),
    "delete-segment": lambda bank: bank.delete(["e", "f"]),
}
KILLED = 9


def stop(at: int, after: bool, act: Callable[[], None], always: bool = False) -> MonkeyPatch:
    """Call ``act`` before or after the at-th call to fsync, replace or unlink, or from it on."""
    patch, calls = MonkeyPatch(), 0

    def wrap(original):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            due = calls == at or (always and calls > at)
            if due and not after:
                act()
            result = original(*arguments, **options)
            if due and after:
                act()
            return result

        return call

    for name in ("fsync", "replace", "unlink"):
        patch.setattr(os, name, wrap(getattr(os, name)))
    return patch


def contents(bank: MemoryBank) -> dict[str, bytes]:
    return {id_: bank.raw(id_) for id_ in bank.ids}


def before_and_after(folder: Path, change: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    bank = filled(folder)
    before = contents(bank)
    CHANGES[change](bank)
    return before, contents(bank)


def check_goes_on(bank: MemoryBank) -> None:
    """The next change works and leaves nothing of the one that was stopped."""
    expected = contents(bank)
    bank.add(["next"], numbers(1, 5))
    reopened = contents(MemoryBank.open(bank.folder))
    assert reopened.pop("next")
    assert reopened == expected
    listed = json.loads((bank.folder / BANK_FILE).read_text())["segments"]
    assert {path.name for path in bank.folder.iterdir()} == {BANK_FILE, *listed}


def kill_everywhere(start: Path, out: Path) -> None:
    for name, change in CHANGES.items():
        for after in (False, True):
            at, status = 0, KILLED
            while status == KILLED:
                at += 1
                folder = out / f"{name}-{'after' if after else 'before'}-{at}"
                shutil.copytree(start, folder)
                pid = os.fork()
                if pid == 0:
                    stop(at, after, lambda: os._exit(KILLED))
                    change(MemoryBank.open(folder))
                    os._exit(0)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert status == 0


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch) -> None:
    """The end of a process loses nothing that the system was given, so tests need not wait."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """Folders of banks whose change was killed; the last of each row was not."""
    folder = tmp_path_factory.mktemp("killed")
    filled(folder / "start")
    subprocess.run([sys.executable, "-m", __name__, str(folder)], check=True, timeout=120)
    return folder


def copies(killed: Path, change: str, out: Path) -> Iterator[Path]:
    for when in ("before", "after"):
        for folder in killed.glob(f"{change}-{when}-*"):
            yield Path(shutil.copytree(folder, out / folder.name))


@pytest.mark.parametrize("change", CHANGES)
def test_a_killed_change_has_happened_whole_or_not_at_all(killed, tmp_path, change):
    before, after = before_and_after(tmp_path / "bank", change)
    found = []
    for folder in copies(killed, change, tmp_path):
        bank = MemoryBank.open(folder)
        found.append(contents(bank))
        assert found[-1] in (before, after)
        check_goes_on(bank)
    assert found.count(before) > 2
    assert found.count(after) > 2


def no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("act", "always", "raised"),
    [(no_space, False, InputError), (no_space, True, InputError), (interrupt, False, None)],
    ids=["full-once", "full", "interrupted"],
)
@pytest.mark.parametrize("change", CHANGES)
def test_a_failed_change_leaves_a_bank_that_goes_on(tmp_path, change, act, always, raised):
    before, after = before_and_after(tmp_path / "bank", change)
    found = []
    for late in (False, True):
        for at in range(1, 100):
            bank = filled(tmp_path / f"{late}-{at}")
            patch = stop(at, late, act, always)
            try:
                CHANGES[change](bank)
                break
            except (InputError, KeyboardInterrupt) as error:
                assert isinstance(error, raised or KeyboardInterrupt)
                if raised:
                    assert "No space left on device" in str(error) and "\n" not in str(error)
            finally:
                patch.undo()
            found.append(contents(bank))
            assert found[-1] in (before, after)
            assert contents(MemoryBank.open(bank.folder)) == found[-1]
            check_goes_on(bank)
    assert before in found and after in found


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("removal", ["delete", "update"])
def test_removed_numbers_are_in_no_file_of_the_folder(tmp_path, dtype, removal):
    bank = MemoryBank.create(tmp_path / "bank", config(slots=2, z_dim=16, dtype=dtype))
    codes = numbers(16).reshape(3, 2, 16)
    bank.add(["alpha", "beta", "gamma"], codes)
    secret = to_stored(codes[1], dtype)["codes"].numpy().tobytes()

    def files_with(text: bytes) -> list[Path]:
        return [p for p in tmp_path.rglob("*") if p.is_file() and text in p.read_bytes()]

    assert files_with(secret) and files_with(b"beta")
    if removal == "delete":
        bank.delete(["beta"])
        assert not files_with(b"beta")
    else:
        bank.update(["beta"], codes[:1])
    assert not files_with(secret)


def test_deleting_again_after_a_kill_removes_what_the_first_deletion_left(killed, tmp_path):
    secret = to_stored(numbers(4, 1)[1], "float16")["codes"].numpy().tobytes()
    left = 0
    for folder in copies(killed, "delete", tmp_path):
        bank = MemoryBank.open(folder)
        left += any(secret in path.read_bytes() for path in folder.iterdir())
        try:
            bank.delete(["b"])
        except InputError:
            assert "b" not in bank
        assert not any(secret in path.read_bytes() for path in folder.iterdir())
    assert left > 2


if __name__ == "__main__":
    kill_everywhere(Path(sys.argv[1]) / "start", Path(sys.argv[1]))
