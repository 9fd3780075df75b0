"""Bad input gets one clear line: what, where (file, line, field) and how to fix it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.jsonl import read_rows
from harness.errors import InputError

LEAF = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUE = st.recursive(
    LEAF | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=4
)
ROWS = st.lists(st.dictionaries(TEXT, VALUE, max_size=3), max_size=4)


def read(path: Path, content: bytes) -> list[tuple[int, dict]]:
    path.write_bytes(content)
    return [(row.line, row.values) for row in read_rows(path)]


@given(
    ROWS, st.booleans(), st.sampled_from(["\n", "\r\n"]), st.sampled_from([b"", b"\xef\xbb\xbf"])
)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_json_writes_is_read_back_unchanged(tmp_path, rows, ascii_only, line_end, mark):
    text = "".join(json.dumps(row, ensure_ascii=ascii_only) + line_end for row in rows)
    expected = list(enumerate(rows, 1))
    assert read(tmp_path / "rows.jsonl", mark + text.encode()) == expected


def test_offsets_point_at_the_rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"b": "\xc3\xa9"}\n{"c": 3}')
    content = path.read_bytes()
    rows = list(read_rows(path))
    assert [row.line for row in rows] == [1, 4, 5]
    assert [content[row.start :].split(b"\n")[0].strip() for row in rows] == [
        b'{"a": 1}',
        b'{"b": "\xc3\xa9"}',
        b'{"c": 3}',
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": ', "2: not valid JSON (Expecting value, column 6); expected one comp"),
        (b'[{"a": 1},', "1: not valid JSON (Expecting value, column 11)"),
        (b'{"a": 1}\n[1]\n', "2: the line is a list; expected an object like {"),
        (b'"text"', "1: the line is a string; expected an object like {"),
        (b"3", "1: the line is a number; expected an object like {"),
        (b"null", "1: the line is null; expected an object like {"),
        (b'{"a": 1}\n{"a": "\xff"}', "2: byte 0xff at offset 16 is not UTF-8; save the file as"),
        ('{"a": 1}'.encode("utf-16"), "1: byte 0xff at offset 0 is not UTF-8"),
        (b'{"a": NaN}', "1: not valid JSON (NaN is not a JSON value); remove or replace it"),
        (b'{"a": -Infinity}', "1: not valid JSON (-Infinity is not a JSON value)"),
        (b'{"a": 1e999}', "1: not valid JSON (1e999 is too large)"),
        (b'{"a": "x\0y"}', "1: not valid JSON (Invalid control character at, column 9)"),
        (b'{"a": "x\\u0000y"}', "1: 'a' holds a NUL character; remove it"),
        (b'{"m": {"b": ["\\ud83d"]}}', "1: 'm' holds an unpaired surrogate; remove it"),
        (b'{"\\udc00": 1}', "1: '\\udc00' holds an unpaired surrogate; remove it"),
        (b'{"a":' + b"[" * 100_000, "1: not valid JSON (nested too deep)"),
        (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", "1: not valid JSON (nested too deep)"),
    ],
)
def test_broken_lines(tmp_path, content, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path / "rows.jsonl", content)
    assert str(caught.value).startswith(f"{tmp_path}/rows.jsonl:{message}")
    assert "\n" not in str(caught.value)


def test_escaped_pairs_and_backslashes_are_fine(tmp_path):
    content = b'{"a": "\\ud83d\\ude00", "b": "\\\\u0000"}'
    assert read(tmp_path / "x", content) == [(1, {"a": "\U0001f600", "b": "\\u0000"})]


@pytest.mark.parametrize(
    ("head", "kind"), [(b"7z\xbc\xaf", "7z"), (b"BZh9", "bzip2"), (b"\xfd7zXZ\x00", "xz")]
)
def test_compressed_files_are_named_as_such(tmp_path, head, kind):
    with pytest.raises(InputError, match=f"is {kind}-compressed; unpack it"):
        read(tmp_path / "corpus.jsonl", head + b"rest")


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_packed_file_is_unpacked_once_for_each_content(tmp_path, monkeypatch, pack):
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    rows = tmp_path / "rows.jsonl"
    assert read(rows, pack(b'{"a": 1}\n\n{"b": 2}')) == [(1, {"a": 1}), (3, {"b": 2})]
    (kept,) = (tmp_path / "cache/unpacked").iterdir()
    before = kept.stat()
    assert read(tmp_path / "same.jsonl", rows.read_bytes()) == [(1, {"a": 1}), (3, {"b": 2})]
    assert read(rows, pack(b'{"a": 3}')) == [(1, {"a": 3})]
    assert kept.stat() == before


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_packed_file_that_is_cut_off_or_broken_is_named_by_its_own_name(
    tmp_path, monkeypatch, pack
):
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))
    path, whole = tmp_path / "rows.jsonl.gz", pack(b'{"a": 1}\n' * 50)
    with pytest.raises(InputError, match=r"rows\.jsonl\.gz: cannot be unpacked or read to its end"):
        read(path, whole[:-3])
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    with pytest.raises(InputError, match=r"rows\.jsonl\.gz:2: not valid JSON"):
        read(path, pack(b'{"a": 1}\n{'))
    with pytest.raises(InputError, match="is a Parquet file; unpack it and give it a name that e"):
        read(path, pack(b"PAR1rest"))


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"gone\.jsonl: file not found; check the path"):
        list(read_rows(tmp_path / "gone.jsonl"))
    with pytest.raises(InputError, match="is a folder; expected a file with one JSON object"):
        list(read_rows(tmp_path))


def test_a_file_that_is_no_readable_path(tmp_path):
    (tmp_path / "file").write_text("{}")
    with pytest.raises(InputError, match="cannot be read"):
        list(read_rows(tmp_path / "file" / "below"))
