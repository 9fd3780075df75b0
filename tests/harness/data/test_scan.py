"""A large corpus is scanned once; what was kept is the scan itself, or is not used."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from harness import fingerprint
from harness.data import scan
from harness.data.corpus import Corpus
from harness.errors import InputError


@pytest.fixture(autouse=True)
def _everything_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scan, "_KEPT_FROM", 1)
    monkeypatch.setattr(fingerprint, "_NOTED_FROM", 1)


def write(path: Path, words: str, count: int = 9) -> Path:
    rows = ({"id": f"ä{n}", "contents": f"T {n}\n{words}"} for n in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def same(one: Corpus, other: Corpus) -> bool:
    return (
        (one.fingerprint, one.text_bytes, one.is_ascii, list(one.ids), list(one))
        == (other.fingerprint, other.text_bytes, other.is_ascii, list(other.ids), list(other))
        and all(one.position(id_) == other.position(id_) for id_ in one.ids)
        and "no such id" not in one
    )


def test_a_kept_scan_opens_the_same_corpus_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "corpus.jsonl", "wörds")
    first = Corpus.open(path)
    whole = Corpus.from_passages(first)
    assert same(first, whole)
    monkeypatch.setattr(scan, "read_rows", None)
    assert same(Corpus.open(path), whole)
    assert same(Corpus.open(path.rename(tmp_path / "moved.jsonl")), whole)


def test_a_file_that_changed_is_scanned_again(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", "words")
    before = Corpus.open(path)
    write(path, "other")
    assert Corpus.open(path).fingerprint != before.fingerprint
    assert Corpus.open(path)[0].text == "other"


@pytest.mark.parametrize("part", ["starts", "ids.text", "ids.order", "corpus", "seal"])
def test_a_damaged_scan_is_made_again(
    tmp_path: Path, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "corpus.jsonl", "words")
    wanted = Corpus.from_passages(Corpus.open(path))
    (file,) = (tmp_path / "cache" / "corpora").glob(f"*/{part}.*")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with caplog.at_level(logging.WARNING):
        assert same(Corpus.open(path), wanted)
    assert "damaged and made again" in caplog.text


def test_nothing_is_kept_of_a_file_with_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", "words")
    path.write_text(path.read_text() + '{"id": "x"}\n')
    with pytest.raises(InputError, match=r"corpus\.jsonl:10: 'contents' is missing"):
        Corpus.open(path)
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_hashes_are_noted_for_files_that_lie_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "_SETTLED", -1.0)
    path = write(tmp_path / "file", "words")
    wanted = fingerprint.file_sha256(path)
    assert fingerprint.kept_sha256(path) == wanted
    monkeypatch.setattr(fingerprint, "_known", {})
    monkeypatch.setattr(fingerprint, "file_sha256", None)
    assert fingerprint.kept_sha256(path) == wanted
    monkeypatch.undo()
    (note,) = (tmp_path / "cache" / "sha256").iterdir()
    note.write_text("no hash")
    monkeypatch.setattr(fingerprint, "_NOTED_FROM", 1)
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    assert fingerprint.kept_sha256(path) == wanted


def test_a_file_written_just_now_is_not_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "file", "words")
    fingerprint.kept_sha256(path)
    assert not list((tmp_path / "cache" / "sha256").iterdir())


def test_scanning_tells_its_progress(tmp_path: Path) -> None:
    path, calls = write(tmp_path / "corpus.jsonl", "words", 1500), list[tuple[int, int]]()
    Corpus.open(path, lambda done, total: calls.append((done, total)))
    size = path.stat().st_size
    assert len(calls) == 2 and calls[-1] == (size, size)
    assert 0 < calls[0][0] < size
