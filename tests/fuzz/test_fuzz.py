"""What is broken, or means harm, is read or refused in one line and soon; no file is lost by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from tests.fuzz import rule
from tests.fuzz.mutations import Files
from tests.fuzz.readers import READERS
from tests.fuzz.rule import Reader, broken
from tests.fuzz.running import fuzz, keep, kept, opened

CASES = 16
SEED: Files = {"a.txt": b"1 2 3"}


@pytest.mark.parametrize("name", READERS)
def test_damaged_seeds_are_read_or_refused_in_one_line(name: str) -> None:
    reader = READERS[name]
    found = fuzz(reader, max(3, round(CASES * reader.share)))
    assert found.cases >= 3
    assert [failure.told for failure, _ in found.smallest.values()] == []


@pytest.mark.parametrize("path", kept(), ids=lambda path: f"{path.parent.name}-{path.stem[:12]}")
def test_a_case_that_broke_its_reader_once_breaks_it_no_more(path: Path, tmp_path: Path) -> None:
    assert broken(READERS[path.parent.name], opened(path), tmp_path) is None


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.reads_seeds])
def test_a_seed_is_read_gladly(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every case would be refused at the door."""
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "case").mkdir()
    rule.write(READERS[name].seeds()[0], tmp_path / "case")
    READERS[name].read(tmp_path / "case")


def _traceback(folder: Path) -> None:
    raise KeyError("x")


def _long(folder: Path) -> None:
    raise InputError("x" * 10**6)


def _loss(folder: Path) -> None:
    (folder / "a.txt").unlink()
    raise InputError("not readable")


def _change(folder: Path) -> None:
    (folder / "a.txt").write_text("4")


def _endless(folder: Path) -> None:
    while True:
        try:
            sum(range(1000))
        except Exception:
            continue


def _memory(folder: Path) -> None:
    np.ones(2**33, np.uint8)


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (_traceback, "KeyError in ?"),
        (_long, "a message of a file's length"),
        (_loss, "a file is lost"),
        (_change, "a file is changed"),
        (_endless, "_Endless in ?"),
        (_memory, "MemoryError in ?"),
    ],
)
def test_a_reader_that_breaks_the_rule_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: object, what: str
) -> None:
    monkeypatch.setattr(rule, "SECONDS", 0.2)
    failure = broken(Reader("own", lambda: [SEED], read), SEED, tmp_path)  # type: ignore[arg-type]
    assert failure is not None and failure.what == what


def test_failures_are_counted_by_where_they_are_and_the_smallest_is_kept(tmp_path: Path) -> None:
    def read(folder: Path) -> None:
        if b"3" not in (folder / "a.txt").read_bytes():
            raise KeyError("x")

    found = fuzz(Reader("own", lambda: [SEED], read), 200)
    assert found.cases == 200
    assert 0 < found.times["KeyError in ?"] < 200
    _, files = found.smallest["KeyError in ?"]
    assert len(files["a.txt"]) < len(SEED["a.txt"])
    assert opened(keep("own", files, tmp_path)) == files


def test_the_same_cases_come_again() -> None:
    seen: list[list[bytes]] = []
    for _ in range(2):
        seen.append([])
        fuzz(
            Reader("own", lambda: [SEED], lambda f: seen[-1].append((f / "a.txt").read_bytes())), 30
        )
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 20
