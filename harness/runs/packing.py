"""Packed runs: the finished ones of a folder in one checksummed archive, to be scored again.

A tar in zstd whose first member, ``contents.json``, names every other with its size and SHA-256.
The same runs give the same bytes. Beside it stands ``NAME.sha256``, as ``sha256sum`` writes it.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import InputError
from harness.files import atomic_file, permitted, read_json, staged, writing
from harness.fingerprint import canonical_json, file_sha256
from harness.runs.directory import find_runs
from harness.runs.gold import gold_of
from harness.runs.manifest import MANIFEST, read_manifest
from harness.runs.predictions import read_predictions
from harness.runs.scoring import score_run
from harness.runs.stamp import check_manifest, is_scored

ENDING = ".tar.zst"
CONTENTS = "contents.json"
FORMAT = 1
MOST_BYTES = 2**30
"""Unpacked; a few kilobytes of zstd may hold far more."""
MOST_WINDOW = 2**27

_FILES = ("manifest.json", "predictions.jsonl", "performance.json", "scores.jsonl", "scores.json")
_SOMETIMES = ("unanswered.jsonl",)
_PLACE = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){1,3}")


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive that was written: its runs, and bytes before and after."""

    archive: Path
    runs: int
    unpacked: int
    size: int


def pack(runs: Path, archive: Path, *, prompts: bool = True) -> Packed:
    """Write the runs below ``runs``, all finished and scored, as one archive.

    Without ``prompts``, steps lose the prompts that were sent, which neither scores nor tables
    need, and the runs are scored again without them. Raises InputError for a run that is not
    finished or not scored, or whose scores do not come out again.
    """
    if not archive.name.endswith(ENDING):
        raise InputError(f"{archive}: call it NAME{ENDING}")
    with tempfile.TemporaryDirectory() as place:
        root = runs
        if not prompts:
            root = Path(place) / "runs"
            _without_prompts(runs, root)
        files = _files_of(root)
        with writing(archive):
            archive.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(archive) as out:
            _write(files, out)
        unpacked = sum(path.stat().st_size for path in files.values())
    with atomic_file(checksum_of(archive)) as out:
        out.write(f"{file_sha256(archive)}  {archive.name}\n".encode())
    count = sum(name.endswith(f"/{MANIFEST}") for name in files)
    return Packed(archive, count, unpacked, archive.stat().st_size)


def unpack(archive: Path, into: Path) -> None:
    """Unpack an archive into a new folder, which appears whole or not at all.

    Raises InputError for an archive that is damaged, holds anything but what its contents name
    (links, other folders, other bytes) or more than ``MOST_BYTES``, and for a folder that exists.
    """
    if into.exists():
        raise InputError(f"{into}: exists; choose another folder or remove it")
    with writing(into):
        into.parent.mkdir(parents=True, exist_ok=True)
        with staged(into, folder=True) as place:
            _read(archive, place)
            place.chmod(permitted(0o777))
            place.rename(into)


def checksum_of(archive: Path) -> Path:
    """Where the SHA-256 of an archive stands."""
    return archive.with_name(f"{archive.name}.sha256")


def is_intact(folder: Path) -> bool:
    """Whether an unpacked folder still holds what its archive held."""
    try:
        named = _named(read_json(folder / CONTENTS), folder)
        return all(file_sha256(folder / name) == entry["sha256"] for name, entry in named.items())
    except (InputError, OSError):
        return False


def _files_of(runs: Path) -> dict[str, Path]:
    """What is packed, by its path within the archive."""
    files: dict[str, Path] = {}
    for folder in find_runs(runs):
        manifest = read_manifest(folder)
        if not manifest.has_ended:
            raise InputError(f"{folder}: not finished; run the same board again, then pack")
        if not is_scored(folder):
            raise InputError(f"{folder}: not scored; run `memory-harness score {runs}`, then pack")
        check_manifest(folder)
        gold = gold_of(folder, manifest.config.task)
        own = [*(folder / name for name in _FILES), gold]
        own += [folder / name for name in _SOMETIMES if (folder / name).exists()]
        for path in own:
            name = path.absolute().relative_to(gold.parents[1]).as_posix()
            if not path.is_file():
                raise InputError(f"{path}: missing; run the same board again, then pack")
            if not _PLACE.fullmatch(name):
                raise InputError(f"{path}: '{name}' cannot be packed: give the --out of 'run'")
            if path != files.setdefault(name, path):
                raise InputError(f"{path}: {files[name]} takes the same place in the archive")
    return dict(sorted(files.items()))


def _without_prompts(runs: Path, into: Path) -> None:
    """A copy of the runs whose steps hold no prompts, scored again."""
    for name, path in _files_of(runs).items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        if path.name != "predictions.jsonl":
            shutil.copyfile(path, into / name)
            continue
        with (into / name).open("wb") as out:
            for _, row in read_predictions(path):
                steps = [{k: v for k, v in s.items() if k != "prompt"} for s in row["steps"]]
                out.write(canonical_json({**row, "steps": steps}).encode() + b"\n")
    for folder in find_runs(into):
        before = (folder / "scores.jsonl").read_bytes()
        score_run(folder)
        if (folder / "scores.jsonl").read_bytes() != before:
            raise InputError(
                f"{folder.relative_to(into)}: its scores do not come out again; run "
                f"`memory-harness score {runs}`, then pack"
            )


def _write(files: dict[str, Path], out: BinaryIO) -> None:
    from zstandard import ZstdCompressionParameters, ZstdCompressor

    named: dict[str, dict[str, Any]] = {
        name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for name, path in files.items()
    }
    contents = canonical_json({"format": FORMAT, "files": named}).encode() + b"\n"
    # Passages stand in the predictions of every method: a window that reaches back to them all.
    setup = ZstdCompressionParameters.from_level(19, window_log=27, enable_ldm=True, threads=0)
    with (
        ZstdCompressor(compression_params=setup).stream_writer(out, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
    ):
        tar.addfile(_member(CONTENTS, len(contents)), io.BytesIO(contents))
        for name, path in files.items():
            with path.open("rb") as file:
                tar.addfile(_member(name, int(named[name]["bytes"])), file)


def _member(name: str, size: int) -> tarfile.TarInfo:
    """Without owner, time or rights of its own: the same content gives the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _read(archive: Path, place: Path) -> None:
    from zstandard import ZstdDecompressor, ZstdError

    _check_sum(archive)
    try:
        with archive.open("rb") as file:
            reader = ZstdDecompressor(max_window_size=MOST_WINDOW).stream_reader(file)
            with tarfile.open(fileobj=_Limited(archive, reader), mode="r|") as tar:
                _extract(archive, tar, place)
    except OSError as error:
        raise InputError(f"{archive}: cannot be read ({error.strerror or error})") from error
    except (ZstdError, tarfile.TarError, EOFError, UnicodeError) as error:
        raise InputError(f"{archive}: damaged ({error}); get it again") from error


def _check_sum(archive: Path) -> None:
    path = checksum_of(archive)
    if path.is_file():
        wanted = path.read_text(encoding="utf-8", errors="replace").partition(" ")[0].strip()
        if file_sha256(archive) != wanted:
            raise InputError(f"{archive}: not the file that {path.name} is of; get both again")


def _extract(archive: Path, tar: tarfile.TarFile, place: Path) -> None:
    members = _members(archive, tar)
    first, content = next(members, ("", b""))
    if first != CONTENTS:
        raise InputError(f"{archive}: holds no {CONTENTS} at its beginning; pack the runs anew")
    try:
        named = _named(json.loads(content), archive)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{archive}: {CONTENTS} is not valid JSON ({error})") from error
    _put(place / CONTENTS, content)
    left = dict(named)
    for name, content in members:
        entry = left.pop(name, None)
        if entry is None:
            raise InputError(f"{archive}: holds {name!r}, which its {CONTENTS} does not name once")
        if sha256(content).hexdigest() != entry["sha256"] or len(content) != entry["bytes"]:
            raise InputError(f"{archive}: {name} is not as its {CONTENTS} says; get it again")
        _put(place / name, content)
    if left:
        raise InputError(f"{archive}: lacks {min(left)}; get it again")


def _put(path: Path, content: bytes) -> None:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _members(archive: Path, tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        if not member.isreg():
            raise InputError(f"{archive}: {member.name!r} is no plain file; nothing is unpacked")
        if member.size > MOST_BYTES:
            raise _too_large(archive)
        file = tar.extractfile(member)
        yield member.name, file.read() if file is not None else b""


def _named(contents: Any, where: Path) -> dict[str, dict[str, Any]]:
    """The files that contents name, each with its size and SHA-256. Raises InputError."""
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise InputError(
            f"{where}: {CONTENTS} has another format than {FORMAT}; pack the runs anew"
        )
    named = contents.get("files")
    valid = isinstance(named, dict) and all(
        _PLACE.fullmatch(name)
        and ".." not in name
        and isinstance(entry, dict)
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("sha256"), str)
        for name, entry in named.items()
    )
    if not valid or not named:
        raise InputError(f"{where}: {CONTENTS} names no files, or some outside of the folder")
    return dict(named)


class _Limited(io.RawIOBase):
    """What a reader gives, up to ``MOST_BYTES`` in all."""

    def __init__(self, archive: Path, reader: Any) -> None:
        self.archive, self.reader, self.left = archive, reader, MOST_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes. Raises InputError past the limit."""
        found: bytes = self.reader.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(found)
        if self.left < 0:
            raise _too_large(self.archive)
        return found


def _too_large(archive: Path) -> InputError:
    return InputError(
        f"{archive}: unpacks to more than {MOST_BYTES / 2**20:,.0f} MiB; nothing is unpacked"
    )
