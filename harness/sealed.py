"""Folders that are either complete or absent, and that notice when they were damaged."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import permitted, read_json, staged, write_json, writing
from harness.fingerprint import file_sha256

_SEAL = "seal.json"
# Larger files are checked by size only: hashing them would undo memory-mapping.
_HASHED_BYTES = 2**26


def write_sealed(folder: Path, fill: Callable[[Path], None]) -> None:
    """Create ``folder`` with what ``fill`` writes into the path it is given, all or nothing.

    A damaged folder is replaced; a sound one, which another process finished first, stays. Raises
    InputError if the system refuses to write.
    """
    with writing(folder):
        _write_sealed(folder, fill)


def _write_sealed(folder: Path, fill: Callable[[Path], None]) -> None:
    with staged(folder, folder=True) as place:
        place.chmod(permitted(0o777))
        fill(place)
        files = sorted(place.iterdir())
        write_json(place / _SEAL, {file.name: _describe(file) for file in files})
        if _is_sound(folder):
            return
        shutil.rmtree(folder, ignore_errors=True)
        try:
            os.replace(place, folder)  # noqa: PTH105
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def check_sealed(folder: Path) -> int:
    """Bytes of the sealed files, the seal itself left out.

    Raises FileNotFoundError when the folder is absent and InputError when it is damaged.
    """
    if not folder.exists():
        raise FileNotFoundError(folder)
    seal = read_json(folder / _SEAL) if (folder / _SEAL).is_file() else None
    if not isinstance(seal, dict):
        raise InputError(f"{folder}: has no valid {_SEAL}")
    for name, expected in seal.items():
        file = folder / name
        if not file.is_file() or not _fits(file, expected):
            raise InputError(f"{file}: missing, truncated or changed since it was written")
    return sum(expected["bytes"] for expected in seal.values())


def _is_sound(folder: Path) -> bool:
    try:
        check_sealed(folder)
    except (OSError, InputError):
        return False
    return True


def _fits(file: Path, expected: Any) -> bool:
    found = _describe(file)
    # A seal of an earlier release has hashes of larger files, too.
    return isinstance(expected, dict) and (
        found == expected or (not found["sha256"] and found["bytes"] == expected.get("bytes"))
    )


def _describe(file: Path) -> dict[str, int | str]:
    size = file.stat().st_size
    return {"bytes": size, "sha256": file_sha256(file) if size <= _HASHED_BYTES else ""}
