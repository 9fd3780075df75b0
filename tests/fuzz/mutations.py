"""Damage done to seeds: bytes of small files, flipped, cut, spliced, and values made extreme."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

Files = dict[str, bytes]
"""What a reader is given: content by path below a folder."""

DEEP = 3_000
NUMBERS = (
    b"1e999", b"-1e999", b"NaN", b"Infinity", b"-1", b"0", b"-0.0", b"1.5", b"1e400", b".inf",
    b"9" * 5_000, b"9223372036854775808", b"18446744073709551615", b"4294967296", b"2147483648",
    b"1000000000", b"0x7fffffff", b"1_000", b"1:30", b"2024-02-30", b"true",
)  # fmt: skip
TOKENS = (
    b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b"\r", b"\n",
    b"\x85", "\u2028\u202e".encode(), b"\x1b[31m", b"\x1b]0;t\x07", b"\x9b2J", b"[" * DEEP,
    b'{"a":' * DEEP, b"- " * DEEP, b"!!python/object/apply:os.system [x]", b"!function os.system",
    b"!include x", b"&a ", b"*a", b"<<: *a", b"../x", b"/etc/passwd", b"~", b"~nobody", b"{{x}}",
    b"{% for x in range(10**9) %}", b"=cmd|'/C'!A0", b'"', b"'", b"\\", b",", b"\t", b":", b"#",
    b"%s%n", b"x" * 5_000, b"-p", b"file:///etc/passwd", b"http://[::1", b"$HOME",
)  # fmt: skip
NESTED: tuple[Any, ...] = tuple(
    json.loads(begin * depth + "1" + end * depth)
    for depth in (70, 199, 900)
    for begin, end in (("[", "]"), ('{"a":', "}"))
)
"""Near to how deep the harness and Python go: what parses it may, and what comes after not."""
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 1.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63,
    10**30, "", " ", "x", "7", "\0", "\ud800", "a\nb", "\x1b[31mred\x07", "../x", "/x",
    "~nobody/x", "null", "x" * 5_000, "\u202e\u2028", "<script>", [], {}, [[]], [None], [{}],
    ["x"], [1], [1, "x"], {"x": 1}, {"": None}, {"a": {"b": []}}, [[["x"]]], [0] * 40,
    *NESTED,
)  # fmt: skip
WORDS = tuple(
    value.to_bytes(8, "little")
    for value in (
        0,
        1,
        2**7,
        2**15,
        2**31 - 1,
        2**31,
        2**32 - 1,
        2**40,
        2**63 - 1,
        2**63,
        2**64 - 1,
    )
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_MOST_EDITS = 3
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[Files]) -> Files:
    """One of the seeds with up to three edits, most of them of one file."""
    files = dict(draw(st.sampled_from(seeds)))
    every = [content for each in seeds for content in each.values()]
    name = draw(st.sampled_from(sorted(files)))
    for _ in range(draw(st.integers(1, _MOST_EDITS))):
        files[name] = _edited(draw, files[name], every)
        if draw(st.integers(0, 3)) == 0:
            name = draw(st.sampled_from(sorted(files)))
    if len(files) > 1 and draw(st.integers(0, 30)) == 0:
        del files[name]
    return files


def _edited(draw: st.DrawFn, data: bytes, others: Sequence[bytes]) -> bytes:
    parsed = draw(st.booleans()) and _of_values(draw, data)
    return parsed or draw(st.sampled_from(_EDITS))(draw, data, others)


def _place(draw: st.DrawFn, data: bytes) -> int:
    return draw(st.integers(0, len(data)))


def _span(draw: st.DrawFn, data: bytes) -> tuple[int, int]:
    """Mostly short: a long one leaves little to be read."""
    start = _place(draw, data)
    most = len(data) - start
    short = draw(st.integers(0, min(most, 24)))
    return start, start + (short if draw(st.integers(0, 4)) else draw(st.integers(0, most)))


def _flip(draw: st.DrawFn, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return draw(st.binary(max_size=8))
    at = draw(st.integers(0, len(data) - 1))
    return data[:at] + bytes([data[at] ^ draw(st.integers(1, 255))]) + data[at + 1 :]


def _cut_off(draw: st.DrawFn, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: _place(draw, data)]


def _cut_out(draw: st.DrawFn, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(draw, data)
    return data[:start] + data[end:]


def _double(draw: st.DrawFn, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(draw, data)
    return data[:end] + data[start:]


def _splice(draw: st.DrawFn, data: bytes, others: Sequence[bytes]) -> bytes:
    other = draw(st.sampled_from(others))
    start, end = _span(draw, other)
    at = _place(draw, data)
    return data[:at] + other[start:end] + data[at:]


def _number(draw: st.DrawFn, data: bytes, others: Sequence[bytes]) -> bytes:
    found = [match.span() for match in _NUMBER.finditer(data[:20_000])]
    if not found:
        return _token(draw, data, others)
    start, end = draw(st.sampled_from(found))
    return data[:start] + draw(st.sampled_from(NUMBERS)) + data[end:]


def _token(draw: st.DrawFn, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _span(draw, data) if draw(st.booleans()) else (_place(draw, data),) * 2
    return data[:start] + draw(st.sampled_from(TOKENS)) + data[end:]


def _word(draw: st.DrawFn, data: bytes, _: Sequence[bytes]) -> bytes:
    """A number of 1 to 8 bytes, as binary headers have them: most lie near the beginning."""
    width = draw(st.sampled_from((1, 2, 4, 8)))
    near = draw(st.booleans())
    at = draw(st.integers(0, min(len(data), 200) if near else len(data)))
    return data[:at] + draw(st.sampled_from(WORDS))[:width] + data[at + width :]


def _lines(draw: st.DrawFn, data: bytes, _: Sequence[bytes]) -> bytes:
    """Lines in another order, or some of them twice."""
    lines = data.split(b"\n")
    at, to = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    moved = lines[at] if draw(st.booleans()) else lines.pop(at)
    lines.insert(to, moved)
    return b"\n".join(lines)


_EDITS = (_flip, _cut_off, _cut_out, _double, _splice, _number, _number, _token, _token, _word,
          _word, _lines)  # fmt: skip


def _of_values(draw: st.DrawFn, data: bytes) -> bytes | None:
    """The file with one of its values swapped, where it is JSON, YAML or safetensors."""
    if len(data) > 8 and (size := struct.unpack("<Q", data[:8])[0]) < len(data):
        header = _of_json(draw, data[8 : 8 + size])
        return header and struct.pack("<Q", len(header)) + header + data[8 + size :]
    if found := _of_json(draw, data):
        return found
    lines = data.split(b"\n")
    at = draw(st.integers(0, len(lines) - 1))
    if line := _of_json(draw, lines[at]):
        return b"\n".join([*lines[:at], line, *lines[at + 1 :]])
    return _of_yaml(draw, data)


def _of_json(draw: st.DrawFn, data: bytes) -> bytes | None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return json.dumps(_swapped(draw, value)).encode()


def _of_yaml(draw: st.DrawFn, data: bytes) -> bytes | None:
    try:
        value = yaml.load(data, _LOADER)
        if not isinstance(value, dict | list):
            return None
        return yaml.dump(_swapped(draw, value), Dumper=_DUMPER, sort_keys=False).encode()
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError):
        return None


def _swapped(draw: st.DrawFn, value: Any) -> Any:
    """Another value in the place of one, or a key or item removed, renamed or doubled."""
    holders = list(_holders(value))
    if not holders or draw(st.integers(0, 40)) == 0:
        return draw(st.sampled_from(VALUES))
    holder, key = draw(st.sampled_from(holders))
    way = draw(st.integers(0, 7))
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[draw(st.sampled_from(("", "x", "../x", "a\nb", "\ud800", "\x1b[1m", *holder)))] = (
            holder.pop(key)
        )
    elif way == 2:
        _, other = draw(st.sampled_from([(None, each[each_key]) for each, each_key in holders]))
        holder[key] = json.loads(json.dumps(other))
    else:
        holder[key] = draw(st.sampled_from(VALUES))
    return value


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    if not isinstance(value, dict | list):
        return
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _holders(value[key])
