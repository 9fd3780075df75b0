"""Files written so that a crash leaves the old or the new content, and names that become paths."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from harness.errors import InputError, RunLockedError

_UMASK = os.umask(0o077)
os.umask(_UMASK)  # it can only be read by setting it: here, before there are threads
_LONGEST_NAME = 255
DEEPEST = 200
"""Lists and objects of JSON within each other."""
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}\Z")


def check_slug(name: str, what: str) -> str:
    """Return ``name`` if it is safe as one path component, else raise InputError."""
    if not _SLUG.match(name) or ".." in name:
        raise InputError(
            f"{what} name {name!r} cannot become a folder: use lower-case letters, digits, "
            "'.', '_' and '-', starting with a letter or digit"
        )
    return name


def to_slug(text: str) -> str:
    """Turn any text into a safe path component; different texts may collide."""
    slug = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")
    return re.sub(r"\.{2,}", ".", slug)[:128] or "unnamed"


def possible(path: str | Path) -> Path:
    """A path that somebody wrote. Raises InputError for one that no file can have."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded or max(map(len, encoded.split(b"/"))) > _LONGEST_NAME:
        raise InputError(
            f"{str(path)[:60]!a}: is no path that a file can have; write one of names of up to "
            f"{_LONGEST_NAME} bytes"
        )
    return Path(path)


def expanded(path: str | Path) -> Path:
    """A path with ``~`` and ``~name`` as the folders that they stand for.

    Raises InputError where a user has none, as in a container under a number alone, and as
    ``possible``.
    """
    try:
        return possible(path).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{path}: no home folder is known for it; set HOME, or write the path out (of the "
            "cache, in MEMORY_HARNESS_CACHE)"
        ) from error


def cache_place(*parts: str) -> Path:
    """Where the user's cache is, or will be: ``MEMORY_HARNESS_CACHE`` or the XDG default."""
    root = os.environ.get("MEMORY_HARNESS_CACHE")
    if not root:
        root = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "memory-harness")  # noqa: PTH118
    return expanded(root).joinpath(*parts)


def cache_dir(*parts: str) -> Path:
    """The user's cache folder, created. Raises InputError where that cannot be."""
    path = cache_place(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: the cache cannot be made there ({error.strerror}); set MEMORY_HARNESS_CACHE "
            "to a folder that can be written"
        ) from error
    return path


def permitted(mode: int) -> int:
    """``mode`` (0o666 of a file, 0o777 of a folder) without what the user's umask denies."""
    return mode & ~_UMASK


def check_no_links(folder: Path) -> None:
    """Raise InputError if anything below ``folder`` is a symbolic link.

    A folder that somebody sent could lead writers through one to any file of the user's.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink():
                raise InputError(
                    f"{path}: is a symbolic link to '{path.readlink()}'; nothing is written where "
                    "links are: put the file or folder itself there, or remove the link"
                )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one line that ``path`` cannot be written and why: no space, no permission."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot write there ({error.strerror or error}); free space or choose "
            "another folder"
        ) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` on success and vanishes on any error.

    Raises InputError if the system refuses to write.
    """
    with writing(path), staged(path) as place:
        with place.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        place.chmod(permitted(0o666))
        os.replace(place, path)  # noqa: PTH105


@contextmanager
def staged(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """An empty file or folder beside ``path``, to be renamed to it; what is not, vanishes.

    It is ``.NAME.tmp`` and locked, so that the next writer takes over what a killed one left. Where
    another is at work, or the disk knows no locks, it has a name that nobody else has.
    """
    place, lock = _place_beside(path, folder)
    try:
        yield place
    finally:
        with suppress(OSError):
            if _is_of(place, lock):  # else it was renamed, and the name may be another's by now
                _remove(place)
        os.close(lock)


def _place_beside(path: Path, folder: bool) -> tuple[Path, int]:
    place = path.with_name(f".{path.name}.tmp")
    with suppress(OSError):  # what lies there may be another user's
        lock = _opened(place, folder)
        if _is_mine(place, lock):
            for left_by_a_kill in place.iterdir() if folder else ():
                _remove(left_by_a_kill)
            return place, lock
        os.close(lock)
    place = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    return place, _opened(place, folder)


def _opened(place: Path, folder: bool) -> int:
    if folder:
        place.mkdir(0o700, exist_ok=True)
    kind = os.O_DIRECTORY if folder else os.O_CREAT | os.O_RDWR | os.O_NONBLOCK
    return os.open(place, kind | os.O_NOFOLLOW, 0o600)


def _is_mine(place: Path, lock: int) -> bool:
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if not isinstance(error, BlockingIOError):  # no locks here: nobody writes by this name
            _remove(place)
        return False
    return _is_of(place, lock)


def _is_of(place: Path, handle: int) -> bool:
    """Whether a name is still that of what was opened."""
    return place.exists() and os.path.samestat(os.fstat(handle), place.lstat())


def _remove(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """While open, no other process may write to ``folder``; a process that ends lets go.

    Raises RunLockedError if another is at it, naming ``what`` is written there, and InputError if
    the disk knows no locks or a link lies in the folder.
    """
    from filelock import FileLock, Timeout

    check_no_links(folder)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunLockedError(
            f"{folder}: another process is writing this {what}; wait for it or stop it"
        ) from error
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{folder}: cannot be locked ({reason}); free space, or choose a folder on a local disk"
        ) from error
    try:
        yield
    finally:
        lock.release()


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of writers that were killed; none may be at work."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as file:
        file.write(text.encode() + b"\n")


def parsed_json(text: str | bytes) -> Any:
    """What a JSON text holds. Raises ValueError, also as ``check_depth``."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raise ValueError for lists and objects more than ``DEEPEST`` within each other.

    What is as deep as Python's parser allows is too deep for what comes after it.
    """
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(DEEPEST):
        if not level:
            return
        level = [
            part
            for each in level
            for part in (each.values() if isinstance(each, dict) else each)
            if isinstance(part, list | dict)
        ]
    if level:
        raise ValueError("nested too deep")


def read_json(path: Path) -> Any:
    """Read a JSON file, naming it in the error if it is broken."""
    try:
        return parsed_json(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); restore or delete it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); restore it") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object. Raises InputError as ``read_json``, and for others."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise InputError(f'{path}: holds no JSON object, {{"name": value}}; restore or delete it')
    return value


def folder_bytes(path: Path) -> int:
    """Apparent size of all files below ``path``, in bytes; files may vanish meanwhile."""
    total = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def check_writable(folder: Path) -> None:
    """Try before anything is loaded, and leave nothing behind."""
    place = folder.absolute()
    while not place.exists() and not place.is_symlink():
        place = place.parent
    with writing(folder), tempfile.TemporaryFile(dir=place):
        pass
