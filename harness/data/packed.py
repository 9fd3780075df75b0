"""Packed files: gzip, zstd and zip are read, known by their content; others are refused.

And how small general compressors make bytes of one's own.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from gzip import GzipFile
from io import SEEK_END, BufferedReader, RawIOBase
from pathlib import Path
from shutil import disk_usage
from typing import BinaryIO, Literal
from zipfile import BadZipFile, ZipFile

from harness.errors import InputError
from harness.files import atomic_file, cache_dir
from harness.fingerprint import kept_sha256

_log = logging.getLogger(__name__)

Packing = Literal["gzip", "zstd", "zip"]

_READ: dict[bytes, Packing] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}
_REFUSED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z"}
_CHUNK = 1 << 16
_COPIED = 1 << 20
# Text becomes a tenth of its size, of one word again and again a hundredth.
_MOST_TIMES, _ALWAYS_ALLOWED = 100, 1 << 28
_KEPT_FREE = 1 << 30
_TOLD_FROM = 1 << 26
"""Bytes of a packed file that takes so long to unpack that it is told."""
_LONGEST_LINE = 1 << 28
# A few kilobytes of zstd may hold megabytes; this many hold at most a few dozen.
_PACKED_CHUNK = 1 << 12
LONGEST_MATCH = 27
"""Log of the window, in bytes, of ``zstd_packed``: what reads it must allow as much."""


def open_file(path: Path) -> BufferedReader:
    """Open a file as it is. Raises InputError for a folder or one that is not there or readable."""
    try:
        return path.open("rb")
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; expected a file") from None
    except FileNotFoundError:
        raise InputError(f"{path}: file not found; check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check it") from error


def packing(path: Path) -> Packing | None:
    """How a file is packed, by its first bytes. Raises InputError as ``open_file`` does."""
    with open_file(path) as file:
        head = file.read(8)
    for magic, name in _REFUSED.items():
        if head.startswith(magic):
            raise InputError(f"{path}: is {name}-compressed; unpack it and give what is in it")
    return next((found for magic, found in _READ.items() if head.startswith(magic)), None)


def open_unpacked(path: Path, tell: Callable[[int], None] = lambda _: None) -> BufferedReader:
    """Open the content of a file, unpacked as it is read.

    ``tell`` is called with the position in the file itself, in bytes, as reading goes on. Raises
    InputError as ``packing`` does, and, while it is read, for a file that is cut off or damaged.
    """
    packed = packing(path)
    file = open_file(path)
    unpack: dict[str | None, Callable[[BinaryIO], Iterator[bytes]]] = {
        "gzip": _gzip,
        "zstd": _zstd,
        "zip": partial(_zip, path),
        None: _plain,
    }
    return BufferedReader(_Chunks(path, file, unpack[packed](file), tell), _CHUNK)


def lines_of(path: Path, binary: BinaryIO) -> Iterator[bytes]:
    """The lines of an open file with their ends, each held alone.

    Raises InputError for a line that memory may not hold: a few kilobytes can unpack to gigabytes.
    """
    number = 1
    while line := binary.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            most = _LONGEST_LINE >> 20
            raise InputError(f"{path}:{number}: a line of more than {most} MB; break it up")
        yield line
        number += 1


def unpacked(path: Path, tell: Callable[[int], None] | None = None) -> Path:
    """The content of a packed file in a file of the cache, made once for each content.

    Raises InputError as ``open_unpacked`` does, for a cache that cannot be written, and before the
    content fills the disk or is a hundred times as large as the packed file.
    """
    plain = cache_dir("unpacked") / kept_sha256(path)
    if not plain.is_file():
        if tell is None and path.stat().st_size >= _TOLD_FROM:
            _log.warning("%s: unpacked once, to %s", path, plain)
        with open_unpacked(path, tell or (lambda _: None)) as content, atomic_file(plain) as file:
            _copy(path, content, plain.parent, file)
    return plain


def _copy(path: Path, content: BinaryIO, folder: Path, file: BinaryIO) -> None:
    most = max(_ALWAYS_ALLOWED, _MOST_TIMES * path.stat().st_size)
    written = 0
    while chunk := content.read(_COPIED):
        written += len(chunk)
        if written > most:
            raise InputError(
                f"{path}: unpacks to more than {_MOST_TIMES} times its size; if that is right, "
                "unpack it and give what is in it"
            )
        if disk_usage(folder).free < _KEPT_FREE + len(chunk):
            raise InputError(
                f"{path}: unpacking it leaves less than 1 GB free where {folder} is; free space "
                "or set MEMORY_HARNESS_CACHE to a folder of another disk"
            )
        file.write(chunk)


def xz_packed(content: bytes) -> bytes:
    """As one xz file of the highest level."""
    import lzma

    return lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)


def zstd_packed(content: bytes) -> bytes:
    """As one zstd frame of the highest level with matches over long distances."""
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        22, window_log=LONGEST_MATCH, enable_ldm=True
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(content)


class _Chunks(RawIOBase):
    """A stream of the bytes that an iterator gives, its errors in one line."""

    def __init__(
        self, path: Path, file: BinaryIO, chunks: Iterator[bytes], tell: Callable[[int], None]
    ) -> None:
        self._path, self._file, self._chunks, self._tell = path, file, chunks, tell
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(self._next())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _next(self) -> bytes:
        from zstandard import ZstdError

        try:
            chunk = next(self._chunks, b"")
        # Of a zip file: encrypted, or packed in a way that Python does not know.
        except (EOFError, zlib.error, ZstdError, OSError, BadZipFile, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{self._path}: cannot be unpacked or read to its end ({reason}); fetch it again"
            ) from error
        if not chunk:
            self._file.seek(0, SEEK_END)  # an archive has more behind its content
        self._tell(self._file.tell())
        return chunk

    def close(self) -> None:
        self._file.close()
        super().close()


def _plain(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    with GzipFile(fileobj=file) as content:
        yield from _plain(content)  # type: ignore[arg-type]


def _zip(path: Path, file: BinaryIO) -> Iterator[bytes]:
    """The only file of an archive, or the only .jsonl in it; no name in it becomes a path."""
    with ZipFile(file) as archive:
        names = [name for name in archive.namelist() if not _is_beside_the_point(name)]
        lines = [name for name in names if name.lower().endswith(".jsonl")]
        found = names if len(names) == 1 else lines
        if len(found) != 1:
            raise InputError(
                f"{path}: is a zip archive of {len(names)} files, {len(lines)} of them .jsonl; "
                "unpack it and give the one that is wanted"
            )
        with archive.open(found[0]) as content:
            yield from _plain(content)  # type: ignore[arg-type]


def _is_beside_the_point(name: str) -> bool:
    """Whether an archive's entry is a folder, hidden, or what macOS adds."""
    folders, _, last = name.rpartition("/")
    return not last or last.startswith(".") or folders.startswith("__MACOSX")


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    from zstandard import ZstdDecompressor

    # Frames packed with --long need more than the default window.
    new = ZstdDecompressor(max_window_size=2**31).decompressobj
    frame = new()
    while packed := file.read(_PACKED_CHUNK):
        while packed:
            if frame.eof:
                frame = new()
            if content := frame.decompress(packed):
                yield content
            packed = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError("the last frame is cut off")
