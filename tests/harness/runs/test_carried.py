"""A memory that is carried in pieces arrives whole, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import RunFailedError
from harness.runs.carried import Arriving, pieces


def test_a_memory_arrives_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "sent"
    (place / "memory" / "deep").mkdir(parents=True)
    (place / "memory" / "deep" / "big.bin").write_bytes(bytes(range(256)) * 8200)
    (place / "memory" / "empty").write_bytes(b"")
    (place / "write.json").write_text("{}")
    *most, last = pieces(place)
    assert len(most) > 2, "a large file comes in several pieces"
    arriving = Arriving(tmp_path / "got")
    assert not any(map(arriving.take, most))
    assert not (tmp_path / "got").exists()
    assert arriving.take(last)
    for path in place.rglob("*"):
        if path.is_file():
            assert (tmp_path / "got" / path.relative_to(place)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "name", ["../x", "memory/../../x", "/etc/x", "scratch/x", "memory\\..\\x/.."]
)
def test_a_memory_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    arriving = Arriving(tmp_path / "place")
    with pytest.raises(RunFailedError, match="a worker sent the file"):
        arriving.take((name, b"x"))
    assert not list(tmp_path.rglob("x"))
