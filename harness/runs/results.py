"""Results that ship: packed runs by the name of their board, unpacked once into the cache."""

from __future__ import annotations

from pathlib import Path

from harness.errors import InputError
from harness.files import cache_dir
from harness.fingerprint import file_sha256
from harness.registry import is_known, load
from harness.runs.packing import checksum_of, is_intact, unpack


class NoResultsError(InputError):
    """A board of this name is known, but no results of it ship."""


def find_results(given: Path) -> Path:
    """The folder of runs that is meant: one that is there, else shipped results of this name.

    Raises NoResultsError where only a board has the name, and InputError for results that are
    damaged. Any other name is given back as it is.
    """
    name = str(given)
    if given.exists() or len(given.parts) != 1:
        return given
    if is_known("results", name):
        return open_results(Path(load("results", name)))
    if is_known("boards", name):
        raise NoResultsError(
            f"{name}: no results of this board ship with this release, and no folder has the name; "
            f"make them: memory-harness run {name} --out runs/{name}"
        )
    return given


def open_results(archive: Path) -> Path:
    """The folder that an archive unpacks to, which is checked each time. Raises InputError."""
    from filelock import FileLock

    if not checksum_of(archive).is_file():
        raise InputError(f"{checksum_of(archive)}: missing; install memory-harness again")
    cache = cache_dir("results")
    folder = cache / f"{archive.name.partition('.')[0]}-{file_sha256(archive)[:12]}"
    with FileLock(cache / f".{folder.name}.lock"):
        if not is_intact(folder):
            _remove(folder)
            unpack(archive, folder)
    return folder


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
