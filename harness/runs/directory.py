"""Run directories: what was run, what was predicted, what it cost; resumable after any kill.

Layout of ``RUNS/<task>/<method>/<run id>/``:

manifest.json      config, provenance and status; written atomically
predictions.jsonl  one line a question, appended as answers come, put in question order at the end
unanswered.jsonl   questions whose server failed; there only while there are any (unanswered.py)
performance.json   what differs from run to run: latency, throughput, memory; also storage, usage;
                   sealed, so that edited figures and those of another run are refused
scores.jsonl       written by scoring, which can be done again at any time
scores.json        which files and rules these scores are of, failures by kind, the manifest's seal
                   (stamp.py)
judge.json, judge.jsonl  a language model's verdicts, where somebody asked for them (judging.py)

Gold answers lie beside the runs in ``RUNS/<task>/questions-<fingerprint>.jsonl``; what a method
writes before the first question, in ``RUNS/<task>/.memory/`` (write_phase.py).
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import FileIO
from itertools import accumulate
from pathlib import Path
from time import monotonic
from typing import Any

from harness.errors import InputError
from harness.files import atomic_file, locked, remove_leftovers, write_json, writing
from harness.runs.manifest import MANIFEST, Manifest, read_manifest
from harness.runs.predictions import read_predictions
from harness.runs.stamp import check_manifest, resealing

FSYNC_SECONDS = 1.0
_BLOCK = 2**16
MEMORY_FOLDER = ".memory"


@dataclass(slots=True)
class RunDirectory:
    """One run's folder, opened for writing by one process at a time."""

    folder: Path
    question_ids: tuple[str, ...]
    _held: ExitStack = field(default_factory=ExitStack)
    _file: FileIO | None = None
    _synced: float = 0.0
    _places: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Where the line of each answered question begins, and its length; the last one counts."""
    answered: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    """Of the answered questions those that were recorded with an error when this was opened."""

    def __enter__(self) -> RunDirectory:
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            held.enter_context(locked(self.folder, "run"))
            with writing(self.folder):
                remove_leftovers(self.folder)
                self._recover()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._held:
            self._close()

    @property
    def predictions_path(self) -> Path:
        """The append-only predictions file."""
        return self.folder / "predictions.jsonl"

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest atomically."""
        values = manifest.written()
        with resealing(self.folder, values):
            write_json(self.folder / MANIFEST, values)

    def change_manifest(self, **parts: Any) -> None:
        """Change parts of the manifest that is there; all else stays as it was written.

        Raises InputError if somebody else changed it.
        """
        check_manifest(self.folder)
        self.write_manifest(read_manifest(self.folder).model_copy(update=parts))

    def append(self, question_id: str, line: bytes) -> None:
        """Write one ``prediction_line``; it survives a kill at once, a power cut after a second.

        It takes the place of an earlier line of the question, which must be a failed one.
        """
        with writing(self.predictions_path):
            if self._file is None:
                # Unbuffered: nothing is left behind that a later close could fail to write.
                self._file = self.predictions_path.open("ab", buffering=0)
            start = self._file.seek(0, os.SEEK_END)
            _write_all(self._file, line)
            self._places[question_id] = (start, len(line))
            self.answered.add(question_id)
            if monotonic() - self._synced > FSYNC_SECONDS:
                self._sync()

    def finish(self) -> None:
        """Put the predictions in question order, so that equal runs are equal files."""
        self._close()
        path = self.predictions_path
        ids = [id_ for id_ in self.question_ids if id_ in self._places]
        places = [self._places[id_] for id_ in ids]
        starts = [0, *accumulate(length for _, length in places)]
        size = path.stat().st_size if path.exists() else 0
        if [*(start for start, _ in places), size] == starts:
            return
        with path.open("rb") as lines, atomic_file(path) as file:
            for start, length in places:
                lines.seek(start)
                file.write(lines.read(length))
        lengths = (length for _, length in places)
        self._places = dict(zip(ids, zip(starts, lengths, strict=False), strict=True))

    def _close(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        with writing(self.predictions_path), file:
            os.fsync(file.fileno())

    def _sync(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._synced = monotonic()

    def _recover(self) -> None:
        """See what is answered; a truncated last line is cut off and will be answered again."""
        path = self.predictions_path
        if not path.exists():
            return
        _cut_half_a_line(path)
        start = 0
        known = set(self.question_ids)
        for number, (line, row) in enumerate(read_predictions(path), start=1):
            question_id = row["question_id"]
            # A failed question may have been asked again (run --retry-errors).
            repeated = question_id in self.answered and question_id not in self.failed
            if question_id not in known or repeated:
                raise InputError(
                    f"{path}:{number}: 'question_id' {question_id!r} is repeated or not of this "
                    "run; delete the run folder"
                )
            self._places[question_id] = (start, len(line))
            start += len(line)
            self.answered.add(question_id)
            self.failed.discard(question_id)
            if row.get("error") is not None:
                self.failed.add(question_id)


def _write_all(file: FileIO, data: bytes) -> None:
    """Write every byte: an unbuffered file may take a part of them."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]


def _cut_half_a_line(path: Path) -> None:
    """Cut off what stands behind the last line's end, looking no further back than there."""
    with path.open("rb+") as file:
        end = place = file.seek(0, os.SEEK_END)
        while place:
            place = max(0, place - _BLOCK)
            file.seek(place)
            found = file.read(min(_BLOCK, end - place)).rfind(b"\n")
            if found >= 0:
                place += found + 1
                break
        if place < end:
            file.truncate(place)


def run_folders(root: Path) -> list[Path]:
    """Every run folder below ``root`` (or ``root`` itself), sorted."""
    folders = sorted(path.parent for path in root.rglob(MANIFEST))
    # What a method wrote may hold a manifest of its own, and so may half a copy.
    return [
        folder
        for folder in folders
        if not any(part.startswith(".") for part in folder.relative_to(root).parts)
    ]


def find_runs(root: Path) -> list[Path]:
    """The same, where there must be one. Raises InputError."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the --out folder of a run")
    found = run_folders(root)
    if not found:
        raise InputError(f"{root}: holds no run; start one with 'memory-harness run'")
    return found


def runs_folder(folder: Path) -> Path:
    """The RUNS that hold a run's folder."""
    return folder.absolute().parents[2]
