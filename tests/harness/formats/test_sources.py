"""Files of a source: the same rows plain, gzip, zstd or zip; every place and every error named."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import zstandard

import harness.data.packed
from harness.data.jsonl import read_rows
from harness.errors import InputError
from harness.formats.sources import counted, find, json_rows, lines, table_rows

Pack = Callable[[bytes], bytes]


def zipped(content: bytes) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr("rows.any", content)
    return file.getvalue()


PACK: dict[str, Pack] = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "two zstd frames": lambda content: b"".join(
        map(zstandard.compress, (content[:9], content[9:]))
    ),
    "zip": zipped,
    "two gzip members": lambda content: gzip.compress(content[:9]) + gzip.compress(content[9:]),
}
ROWS = [{"id": 1, "text": "où"}, {"id": 2, "text": "là"}]
LINES = "".join(json.dumps(row) + "\r\n\n" for row in ROWS).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.any"


def error_of(rows: Iterator[Any]) -> str:
    with pytest.raises(InputError) as caught:
        list(rows)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
def test_the_content_decides_how_a_file_is_opened(path: Path, pack: Pack, mark: bytes) -> None:
    path.write_bytes(pack(mark + "a\r\nbé\n\nlast".encode()))
    assert list(lines(path)) == [
        (f"{path}:1", "a"), (f"{path}:2", "bé"), (f"{path}:3", ""), (f"{path}:4", "last"),
    ]  # fmt: skip
    path.write_bytes(pack(mark + LINES))
    assert list(json_rows(path)) == [(f"{path}:1", ROWS[0]), (f"{path}:3", ROWS[1])]
    path.write_bytes(pack(mark + b" \n" + json.dumps(ROWS, indent=1).encode()))
    assert list(json_rows(path)) == [(f"{path}[0]", ROWS[0]), (f"{path}[1]", ROWS[1])]
    path.write_bytes(pack(mark + json.dumps({"version": [1], "data": ROWS}).encode()))
    assert [row for _, row in json_rows(path, under="data")] == ROWS
    path.write_bytes(pack(mark + b'id\ttext\r\n1\t"o ""u"""\r\n'))
    assert list(table_rows(path)) == [(f"{path}:2", {"id": "1", "text": 'o "u"'})]


@pytest.mark.parametrize("end", ["", ".gz", ".zst"])
def test_a_file_is_found_by_its_name_or_its_packed_name(tmp_path: Path, end: str) -> None:
    (tmp_path / f"corpus.jsonl{end}").touch()
    assert find(tmp_path, "corpus.jsonl") == tmp_path / f"corpus.jsonl{end}"
    assert find(tmp_path, "queries.jsonl") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": ', ":2: not valid JSON (Expecting value, column 6)"),
        (b'{"a": 1}\n[1]', ":2: the line is a list; expected an object"),
        (b'{"a": NaN}', ":1: not valid JSON (NaN is not a JSON value)"),
        (b'[{"a": 1}, 2]', "[1]: is no object; expected objects"),
        (b'[{"a": 1}, {"a": }]', "[1]: not valid JSON (parse error: unallowed token"),
        (b'[{"a": 1}, {"b', "[1]: not valid JSON (parse error: premature EOF"),
        (b'[{"a": "\xff"}]', "[0]: not valid JSON (lexical error: invalid bytes in UTF8"),
        (b'[{"a": 1}] {', "[1]: not valid JSON (parse error: trailing garbage"),
    ],
)
def test_broken_json_is_named_with_its_place(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    assert error_of(json_rows(path)).startswith(f"{path}{message}")


def test_an_object_without_the_array_is_refused(path: Path) -> None:
    path.write_text('{"rows": [{"a": 1}]}')
    assert error_of(json_rows(path, under="data")) == (
        f'{path}: has no rows under "data"; expected {{"data": [{{…}}]}}'
    )


def test_bytes_that_are_not_utf8_are_named_with_line_and_offset(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfgood\nb\xe4d\n")
    assert error_of(lines(path)).startswith(f"{path}:2: byte 0xe4 at offset 9 is not UTF-8; save")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_keeps_line_breaks_delimiters_and_long_fields(path: Path, delimiter: str) -> None:
    long = "x" * 300_000
    text = f'id;text;more\r\n\r\n1;"two\nlines, "";"" too";a\n2;{long};\n'
    path.write_text(text.replace(";", delimiter), newline="")
    assert list(table_rows(path)) == [
        (f"{path}:3", {"id": "1", "text": f'two\nlines, "{delimiter}" too', "more": "a"}),
        (f"{path}:5", {"id": "2", "text": long, "more": ""}),
    ]


def test_a_line_that_tells_excel_the_separator_is_no_header(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfsep=;\r\nid;text\r\n1;a,b,c\r\n")
    assert list(table_rows(path)) == [(f"{path}:3", {"id": "1", "text": "a,b,c"})]


def test_quotes_are_text_in_a_table_without_quoting(path: Path) -> None:
    path.write_text('id\ttext\n1\t"The Wall" is\n2\t"open\n')
    rows = [row["text"] for _, row in table_rows(path, quoted=False)]
    assert rows == ['"The Wall" is', '"open']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,,b\n1,2,3\n", ":1: column 2 has no name; give it one"),
        ("a,b,a\n1,2,3\n", ":1: two columns are called 'a'; rename one"),
        ("a,b\n1,2\n3\n", ":3: has 1 fields and the first line 2; put fields with line breaks"),
        ("a,b\n1,2,3\n", ":2: has 3 fields and the first line 2"),
        ('a,b\n1,2\n3,"4\n5,6\n', ":3: not a row of a table (unexpected end of data); close every"),
        ('a,b\n1,"2"3\n', ":2: not a row of a table (',' expected after '\"')"),
        ("a,b\r1,2\r", ":1: not a row of a table (a carriage return alone); end lines as Win"),
    ],
)
def test_a_broken_table_is_named_with_its_line(path: Path, text: str, message: str) -> None:
    path.write_text(text, newline="")
    assert error_of(table_rows(path)).startswith(f"{path}{message}")


def test_empty_columns_at_the_end_are_no_columns(path: Path) -> None:
    path.write_text("a,b,,\n1,2,,\n3,4\n,,,\n")
    assert [row for _, row in table_rows(path)] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


@pytest.mark.parametrize(
    # As the command zstd does; the library's own default leaves the checksum out.
    "pack",
    [gzip.compress, zstandard.ZstdCompressor(write_checksum=True).compress],
)
def test_a_packed_file_that_is_cut_off_or_damaged_is_named(path: Path, pack: Pack) -> None:
    whole = pack(LINES * 100)
    for broken in (whole[:-6], whole[:20] + b"\x00" * 8 + whole[28:]):
        path.write_bytes(broken)
        assert error_of(lines(path)).startswith(f"{path}: cannot be unpacked or read to its end (")


def test_a_line_that_memory_may_not_hold_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few kilobytes can unpack to gigabytes of one line."""
    monkeypatch.setattr(harness.data.packed, "_LONGEST_LINE", 1 << 20)
    path.write_bytes(gzip.compress(b'{"a": 1}\n' + b" " * (3 << 20)))
    rows = (row.where for row in read_rows(path))
    for read in (lines(path), json_rows(path), table_rows(path), rows):
        assert error_of(read) == f"{path}:2: a line of more than 1 MB; break it up"


@pytest.mark.parametrize(
    ("head", "kind"), [(b"7z\xbc\xaf", "7z"), (b"BZh9", "bzip2"), (b"\xfd7zXZ\x00", "xz")]
)
def test_other_packings_are_named(path: Path, head: bytes, kind: str) -> None:
    path.write_bytes(head + b"rest")
    assert error_of(lines(path)).startswith(f"{path}: is {kind}-compressed; unpack it and give")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert error_of(lines(tmp_path / "gone")).endswith("gone: file not found; check the path")
    assert error_of(json_rows(tmp_path)).endswith(": is a folder; expected a file")


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
def test_reading_reports_bytes_up_to_the_size_of_the_file(path: Path, pack: Pack) -> None:
    path.write_bytes(pack(LINES * 5_000))
    seen: list[int] = []
    with counted(lambda file, at: seen.append(at)):
        assert sum(1 for _ in json_rows(path)) == 10_000
    assert seen == sorted(seen)
    assert seen[-1] == path.stat().st_size


@pytest.mark.parametrize("kind", ["array", "lines", "table"])
def test_a_packed_file_is_never_held_whole(path: Path, kind: str) -> None:
    rows = [{"id": str(n), "text": token_hex(250)} for n in range(6_000)]
    if kind == "table":
        content = "id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows)
    elif kind == "lines":
        content = "".join(f"{json.dumps(row)}\n" for row in rows)
    else:
        content = json.dumps(rows)
    path.write_bytes(zstandard.compress(content.encode()))
    read = table_rows if kind == "table" else json_rows
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(path)) == len(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000  # of 3 MB
