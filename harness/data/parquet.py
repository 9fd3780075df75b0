"""Parquet files as JSON Lines, the one format that every reader of the harness takes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from harness.errors import InputError
from harness.files import atomic_file, cache_dir
from harness.fingerprint import file_sha256


def as_json_lines(path: Path) -> Path:
    """The rows of a Parquet file in a file of the cache, made once for each content.

    Raises InputError for a file that is not Parquet or a cache that cannot be written.
    """
    lines = cache_dir("parquet") / f"{file_sha256(path)}.jsonl"
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
        # The library raises many unrelated types; to the user all mean: not Parquet.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise InputError(
                f"{path}: cannot read it as Parquet ({reason}); restore the file"
            ) from error
        rows.to_json(file, force_ascii=False)
