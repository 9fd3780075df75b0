"""Packed runs: the same bytes, the same scores again, and nothing but what the contents name."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from harness.errors import InputError
from harness.runs import packing
from harness.runs.directory import find_runs
from harness.runs.execute import execute
from harness.runs.packing import CONTENTS, checksum_of, is_intact, pack, unpack
from harness.runs.scoring import score_run
from tests.harness.lab import CountingModel, make_plan, quiet, without_torch


@pytest.fixture
def runs(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two finished runs of the small task."""
    without_torch(monkeypatch)
    for seed in (0, 1):
        execute(make_plan(files, seed=seed), tmp_path / "runs", CountingModel(), None, quiet())
    return tmp_path / "runs"


@pytest.fixture
def archive(runs: Path, tmp_path: Path) -> Path:
    return pack(runs, tmp_path / "packed.tar.zst").archive


def content(runs: Path) -> dict[str, bytes]:
    return {
        path.relative_to(runs).as_posix(): path.read_bytes()
        for path in sorted(runs.rglob("*"))
        if path.is_file() and path.name not in (".lock", CONTENTS)
    }


def test_unpacked_runs_are_the_runs(runs: Path, archive: Path, tmp_path: Path) -> None:
    unpack(archive, tmp_path / "again")
    assert content(tmp_path / "again") == content(runs)
    assert is_intact(tmp_path / "again")


def test_the_same_runs_give_the_same_bytes(runs: Path, archive: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(runs, tmp_path / "elsewhere" / "moved")
    again = pack(moved, tmp_path / "again.tar.zst").archive
    assert again.read_bytes() == archive.read_bytes()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert checksum_of(archive).read_text() == f"{digest}  packed.tar.zst\n"


@pytest.mark.parametrize("prompts", [True, False])
def test_unpacked_runs_score_the_same_again(runs: Path, tmp_path: Path, prompts: bool) -> None:
    before = {f.name: (f / "scores.jsonl").read_bytes() for f in find_runs(runs)}
    unpack(pack(runs, tmp_path / "p.tar.zst", prompts=prompts).archive, tmp_path / "again")
    for folder in find_runs(tmp_path / "again"):
        (folder / "scores.jsonl").unlink()
        score_run(folder)
        assert (folder / "scores.jsonl").read_bytes() == before[folder.name]


def test_prompts_may_be_left_out_and_nothing_else(runs: Path, tmp_path: Path) -> None:
    unpack(pack(runs, tmp_path / "p.tar.zst", prompts=False).archive, tmp_path / "again")
    for folder in find_runs(tmp_path / "again"):
        full = next(f for f in find_runs(runs) if f.name == folder.name)
        short, long = ((x / "predictions.jsonl").read_text().splitlines() for x in (folder, full))
        rows = list(map(json.loads, long))
        for row in rows:
            for step in row["steps"]:
                assert step.pop("prompt")
        assert list(map(json.loads, short)) == rows


def test_an_unfinished_or_unscored_run_is_refused_by_name(runs: Path, tmp_path: Path) -> None:
    folder = find_runs(runs)[0]
    (folder / "scores.json").unlink()
    with pytest.raises(InputError, match=f"{folder.name}: not scored; run `memory-harness score"):
        pack(runs, tmp_path / "p.tar.zst")
    manifest = json.loads((folder / "manifest.json").read_text()) | {"status": "running"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=f"{folder.name}: not finished; run the same board"):
        pack(runs, tmp_path / "p.tar.zst")


def test_a_changed_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(InputError, match=r"not the file that packed.tar.zst.sha256 is of"):
        unpack(archive, tmp_path / "again")
    checksum_of(archive).unlink()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged|lacks"):
        unpack(archive, tmp_path / "again")
    assert not (tmp_path / "again").exists()


Member = tuple[tarfile.TarInfo, bytes]


def hostile(place: Path, named: dict[str, bytes], *members: Member) -> Path:
    """An archive whose contents name some files, and that holds ``members`` after them."""
    entries = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in named.items()
    }
    contents = json.dumps({"format": 1, "files": entries}).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, data in (member(CONTENTS, contents), *members):
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    place.write_bytes(zstandard.compress(out.getvalue()))
    return place


def member(name: str, data: bytes = b"", **more: Any) -> Member:
    info = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


GOOD = {"toy/ask/1/manifest.json": b"{}"}


@pytest.mark.parametrize(
    ("named", "members", "problem"),
    [
        ({"../up": b"x"}, [member("../up", b"x")], "outside of the folder"),
        ({"/etc/x": b"x"}, [member("/etc/x", b"x")], "outside of the folder"),
        ({"toy/../../x": b"x"}, [member("toy/../../x", b"x")], "outside of the folder"),
        ({"toy\\..\\x": b"x"}, [member("toy\\..\\x", b"x")], "outside of the folder"),
        ({}, [], "names no files"),
        (GOOD, [member("../up", b"x")], "does not name once"),
        (GOOD, [member("toy/more/1/x", b"x")], "does not name once"),
        (GOOD, [member(*next(iter(GOOD.items())))] * 2, "does not name once"),
        (GOOD, [member("toy/ask/1/manifest.json", b"[]")], "not as its contents.json says"),
        (GOOD, [], "lacks toy/ask/1/manifest.json"),
        (
            GOOD,
            [member("toy/ask/1/manifest.json", type=tarfile.SYMTYPE, linkname="/etc/passwd")],
            "no plain file",
        ),
        (
            GOOD,
            [member("toy/ask/1/manifest.json", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
            "no plain file",
        ),
        (GOOD, [member("toy", type=tarfile.DIRTYPE)], "no plain file"),
        (GOOD, [member("toy/ask/1/manifest.json", type=tarfile.FIFOTYPE)], "no plain file"),
    ],
)
def test_nothing_hostile_is_unpacked(
    tmp_path: Path, named: dict[str, bytes], members: list[Member], problem: str
) -> None:
    place = tmp_path / "in" / "deep"
    place.mkdir(parents=True)
    archive = hostile(tmp_path / "x.tar.zst", named, *members)
    with pytest.raises(InputError, match=problem):
        unpack(archive, place / "out")
    assert not list(place.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "x.tar.zst"]


@pytest.mark.parametrize("bomb", ["file", "header"])
def test_a_bomb_is_refused_before_it_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bomb: str
) -> None:
    monkeypatch.setattr(packing, "MOST_BYTES", 2**20)
    large = b"\0" * 2**22
    extra = (
        member("toy/ask/1/manifest.json", large)
        if bomb == "file"
        else member("toy/ask/1/manifest.json", large, type=tarfile.XHDTYPE)
    )
    archive = hostile(tmp_path / "x.tar.zst", GOOD, extra)
    assert archive.stat().st_size < 2**14
    with pytest.raises(InputError, match="unpacks to more than 1 MiB; nothing is unpacked"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_text_that_is_no_archive_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.tar.zst").write_text("hello")
    with pytest.raises(InputError, match=r"x.tar.zst: damaged") as raised:
        unpack(tmp_path / "x.tar.zst", tmp_path / "out")
    assert "\n" not in str(raised.value)
