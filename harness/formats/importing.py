"""An import: a source read in a format and written as a task folder, with a record of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.card import TaskCard
from harness.errors import InputError
from harness.escape import utf8
from harness.files import check_slug, staged, to_slug, write_json, writing
from harness.fingerprint import fingerprint_lines, known_sha256
from harness.formats.base import Format, Item
from harness.formats.sources import counted
from harness.formats.write import Tally, TaskFolder

RECORD = "import.json"
"""What the folder was made of; a folder that has it may be replaced by another import."""
_LISTED_FILES = 20
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Imported:
    """A finished import."""

    folder: Path
    name: str
    tally: Tally


def import_source(
    name: str,
    format_: Format,
    source: Path,
    out: Path,
    *,
    task: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Write a task folder ``out`` from what a format called ``name`` reads in ``source``.

    The folder appears when it is complete; an error or an interruption leaves nothing. ``task`` is
    the task's name, by default made of the folder's. ``force`` replaces the folder of an earlier
    import. ``progress`` is told bytes read and bytes in all. Raises InputError for a folder that
    exists, what the format cannot read, and a source without questions or without passages.
    """
    task = check_slug(task or to_slug(out.absolute().name), "task")
    _check_free(out, force)
    reading = _Reading(format_, source, progress)
    tally = Tally()
    with (
        _folder(out) as new,
        counted(reading),
        closing(TaskFolder(new, tally)) as folder,
    ):
        for item in reading.items():
            folder.add(item)
        folder.finish()
        record = _record(name, format_, source, reading.files(), tally)
        write_json(new / RECORD, record)
        _write_card(new / "task.yaml", task, format_, record)
    return Imported(out, task, tally)


class _Reading:
    """What is read of a source: items, files, and how far."""

    def __init__(self, format_: Format, source: Path, progress: Progress | None) -> None:
        self._format, self._source, self._progress = format_, source, progress
        self._sizes = {
            path: path.stat().st_size for path in format_.files(source) if path.is_file()
        }
        self._read: dict[Path, int] = {}
        self._done, self._total = 0, sum(self._sizes.values())

    def items(self) -> Iterator[Item]:
        try:
            yield from self._format.read(self._source)
        except OSError as error:
            place = error.filename or self._source
            raise InputError(f"{place}: cannot be read ({error.strerror}); check it") from error

    def __call__(self, path: Path, at: int) -> None:
        if path not in self._sizes:
            self._sizes[path] = path.stat().st_size
            self._total += self._sizes[path]
        # A file that is read twice counts once.
        further = max(at - self._read.setdefault(path, 0), 0)
        self._read[path] += further
        self._done += further
        if self._progress:
            self._progress(self._done, self._total)

    def files(self) -> dict[str, str]:
        """Name -> SHA-256 of every file that was read."""
        root = self._source if self._source.is_dir() else self._source.parent
        names: dict[str, Path] = {}
        for path in self._read:
            name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
            while name in names:
                name = f"other/{name}"  # two files of one name, from folders that are not told
            names[name] = path
        return {utf8(name): known_sha256(names[name]) for name in sorted(names)}


def _check_free(out: Path, force: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and not any(out.iterdir()):
        return
    if not (out / RECORD).is_file():
        raise InputError(f"{out}: exists and is no earlier import; choose another folder")
    if not force:
        raise InputError(f"{out}: exists; choose another folder, or replace it with --force")


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside ``out`` that takes its place on success and vanishes on any error."""
    with writing(out):
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with staged(out.absolute(), folder=True) as hidden:
            new = hidden / "new"
            new.mkdir()
            yield new
            _swap(new, out, hidden / "old")


def _swap(new: Path, out: Path, old: Path) -> None:
    try:
        if out.exists():
            out.rename(old)
        new.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise


def _record(
    name: str, format_: Format, source: Path, files: dict[str, str], tally: Tally
) -> dict[str, Any]:
    """Everything about the import but where it was made."""
    options = format_.options.model_dump(exclude_unset=True)
    read: dict[str, Any] = {"files": files}
    if len(files) > _LISTED_FILES:
        read = {"files": len(files), "sha256": fingerprint_lines(sorted(files.items()))}
    return {
        "format": name,
        "options": {
            key: utf8(value.name) if isinstance(value, Path) else value
            for key, value in options.items()
        },
        "source": utf8(source.absolute().name),
        **read,
        "written": tally.written,
        "left_out": {why: count.number for why, count in tally.dropped.items()},
        "changed": {why: count.number for why, count in tally.changed.items()},
        "notes": tally.notes,
    }


def _write_card(path: Path, task: str, format_: Format, record: dict[str, Any]) -> None:
    import yaml

    card = {
        "name": task,
        "title": task,
        "version": 1,
        "hops": format_.hops,
        "gold": format_.gold,
        **format_.scoring,
        "licence": "",
        "citations": [],
        "caveats": [_origin(record), *_losses(record)],
    }
    TaskCard.model_validate(card)
    with path.open("w", encoding="utf-8") as file:
        file.write("# Made by an import; licence and citations are yours to fill in.\n")
        yaml.safe_dump(card, file, sort_keys=False, allow_unicode=True, width=100)


def _origin(record: dict[str, Any]) -> str:
    options = ", ".join(f"{name}={value}" for name, value in record["options"].items())
    files = record["files"]
    if isinstance(files, int):
        read = f"{files:,} files of {record['source']}, together sha256 {record['sha256'][:12]}"
    else:
        read = ", ".join(f"{name} (sha256 {sha256[:12]})" for name, sha256 in files.items())
    made = f"{record['format']} ({options})" if options else record["format"]
    return f"Imported from {read} with the format {made}."


def _losses(record: dict[str, Any]) -> Iterator[str]:
    for heading, counts in (("Left out", record["left_out"]), ("Changed", record["changed"])):
        if counts:
            said = "; ".join(f"{why} ({number:,})" for why, number in counts.items())
            yield f"{heading}: {said}."
