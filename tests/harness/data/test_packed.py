"""A packed corpus is unpacked once, bounded, and nothing in an archive says where to."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest

from harness.data import packed
from harness.data.corpus import Corpus
from harness.errors import InputError

ROWS = "".join(json.dumps({"id": f"{n}", "contents": f"T {n}\nx"}) + "\n" for n in range(9))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))


def archive(path: Path, members: dict[str, str], kind: int = ZIP_DEFLATED) -> Path:
    with ZipFile(path, "w", kind) as file:
        for name, text in members.items():
            file.writestr(name, text)
    return path


def files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("kind", [ZIP_DEFLATED, ZIP_LZMA])
@pytest.mark.parametrize(
    "members",
    [
        {"wiki.jsonl": ROWS},
        {"wiki/": "", "wiki/wiki.JSONL": ROWS, "__MACOSX/wiki/._wiki.jsonl": "x"},
        {"rows.txt": ROWS},
        {"README.md": "read me", "wiki.jsonl": ROWS},
    ],
)
def test_a_zip_file_is_the_corpus_in_it(tmp_path: Path, members: dict[str, str], kind: int) -> None:
    corpus = Corpus.open(archive(tmp_path / "wiki.zip", members, kind))
    (tmp_path / "plain.jsonl").write_text(ROWS)
    assert corpus.fingerprint == Corpus.open(tmp_path / "plain.jsonl").fingerprint
    assert [passage.id for passage in corpus] == [corpus[n].id for n in range(9)]


def test_no_path_leads_out_of_an_archive(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "folder"
    place.mkdir(parents=True)
    path = archive(place / "wiki.zip", {"../../../evil.jsonl": ROWS})
    assert len(Corpus.open(path)) == 9
    (kept,) = files(tmp_path / "cache")
    assert kept.parent == tmp_path / "cache" / "unpacked"
    assert files(tmp_path) == sorted([kept, path])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.jsonl": ROWS, "b.jsonl": ROWS}, "a zip archive of 2 files, 2 of them .jsonl; unpack"),
        ({"a.txt": ROWS, "b.txt": ROWS}, "a zip archive of 2 files, 0 of them .jsonl; unpack"),
    ],
)
def test_an_archive_of_several_is_refused(
    tmp_path: Path, members: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=f"wiki.zip: is {message}"):
        Corpus.open(archive(tmp_path / "wiki.zip", members))


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "wiki.zip", {"wiki.jsonl": ROWS})
    whole = path.read_bytes()
    for broken in (whole[:-30], whole[:60] + b"\0" * 9 + whole[69:]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"wiki\.zip: cannot be unpacked or read to its end"):
            Corpus.open(path)
    assert files(tmp_path / "cache") == []


def test_what_unpacks_to_far_more_than_text_would_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_ALWAYS_ALLOWED", 1 << 20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b" " * (8 << 20)))
    with pytest.raises(InputError, match="bomb.gz: unpacks to more than 100 times its size; if"):
        Corpus.open(path)
    assert files(tmp_path / "cache") == []


def test_a_disk_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_KEPT_FREE", 1 << 60)
    path = archive(tmp_path / "wiki.zip", {"wiki.jsonl": ROWS})
    with pytest.raises(InputError, match="wiki.zip: unpacking it leaves less than 1 GB free"):
        Corpus.open(path)
    assert files(tmp_path / "cache") == []


def test_unpacking_a_large_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(packed, "_TOLD_FROM", 1)
    path = archive(tmp_path / "wiki.zip", {"wiki.jsonl": ROWS})
    with caplog.at_level(logging.WARNING):
        Corpus.open(path)
        Corpus.open(path)
    (record,) = caplog.records
    assert record.message.startswith(f"{path}: unpacked once, to {tmp_path / 'cache'}")
