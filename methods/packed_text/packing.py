"""A packed corpus: ids, titles and texts in one compressed file, without any index."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from harness.data.packed import LONGEST_MATCH, xz_packed, zstd_packed
from harness.errors import InputError
from harness.files import atomic_file
from harness.records import Passage
from harness.sentences import split_lines

Codec = Literal["xz", "zstd"]
WRITE_AGAIN = "delete the memory and run again"


def write_packed(path: Path, passages: Iterable[Passage], codec: Codec) -> None:
    """One line a passage, compressed together at the codec's highest level."""
    rows = ([p.id, p.title, p.text] for p in passages)
    lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    text = "\n".join(lines).encode()
    with atomic_file(path) as file:
        file.write(xz_packed(text) if codec == "xz" else zstd_packed(text))


def read_packed(path: Path, codec: Codec) -> list[Passage]:
    """The passages again. Raises InputError for a file that is damaged or missing."""
    try:
        lines = split_lines(_unpacked(path.read_bytes(), codec).decode())
        return [Passage(id_, title, text) for id_, title, text in map(json.loads, lines)]
    except (OSError, ValueError, EOFError, lzma.LZMAError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: {reason}; {WRITE_AGAIN}") from error


def _unpacked(packed: bytes, codec: Codec) -> bytes:
    if codec == "xz":
        return lzma.decompress(packed)
    import zstandard

    try:
        return zstandard.ZstdDecompressor(max_window_size=2**LONGEST_MATCH).decompress(packed)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
