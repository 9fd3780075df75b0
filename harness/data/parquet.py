"""Parquet files as JSON Lines, the one format that every reader of the harness takes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from harness.data.packed import packing, unpacked
from harness.errors import InputError
from harness.files import atomic_file, cache_dir
from harness.fingerprint import known_sha256


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet by its name."""
    return path.suffix.lower() == ".parquet"


def as_lines(path: Path) -> Path:
    """The file that the rows of ``path`` are read from: itself, unless it is Parquet or packed.

    Raises InputError for a file that is not there, cannot be read or is packed in another way.
    """
    if is_parquet(path):
        return as_json_lines(path)
    return unpacked(path) if packing(path) else path


def as_json_lines(path: Path) -> Path:
    """The rows of a Parquet file in a file of the cache, made once for each content.

    Raises InputError for a file that is not there or not Parquet, or a cache that cannot be
    written.
    """
    if not path.is_file():
        raise InputError(f"{path}: file not found; check the path")
    lines = cache_dir("parquet") / f"{known_sha256(path)}.jsonl"
    if not lines.is_file():
        with atomic_file(lines) as file:
            _write(path, file)
    return lines


def _write(path: Path, file: BinaryIO) -> None:
    from datasets import Dataset

    # The Arrow files that datasets makes on the way are read once.
    with TemporaryDirectory(prefix="memory-harness-") as scratch:
        try:
            rows = Dataset.from_parquet(str(path), cache_dir=scratch)
            # pandas, which writes the lines, ends the process over text that is not UTF-8.
            rows.data.validate(full=True)
        # The library raises many unrelated types; to the user all mean: not Parquet.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InputError(
                f"{path}: cannot read it as Parquet ({reason}); restore the file"
            ) from error
        rows.to_json(file, force_ascii=False)
