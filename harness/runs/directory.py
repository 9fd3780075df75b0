"""Run directories: what was run, what was predicted, what it cost; resumable after any kill.

Layout of ``RUNS/<task>/<method>/<run id>/``:

manifest.json      config, provenance and status; written atomically
predictions.jsonl  one line a question, appended as answers come, put in question order at the end
performance.json   what differs from run to run: latency, throughput, memory; also storage, usage
scores.jsonl       written by scoring, which can be done again at any time

Gold answers lie beside the runs in ``RUNS/<task>/questions-<fingerprint>.jsonl``; what a method
writes before the first question, in ``RUNS/<task>/.memory/`` (write_phase.py).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path
from time import monotonic
from typing import IO, Any

from harness.errors import InputError, RunLockedError
from harness.files import atomic_file, remove_leftovers, write_json, writing
from harness.fingerprint import canonical_json
from harness.records import Prediction
from harness.runs.manifest import MANIFEST, Manifest

FSYNC_SECONDS = 1.0
MEMORY_FOLDER = ".memory"


@dataclass(slots=True)
class RunDirectory:
    """One run's folder, opened for writing by one process at a time."""

    folder: Path
    question_ids: tuple[str, ...]
    _lock: IO[str] | None = None
    _file: FileIO | None = None
    _synced: float = 0.0
    answered: set[str] = field(default_factory=set)

    def __enter__(self) -> RunDirectory:
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / ".lock").open("w")
        try:
            self._take_lock()
            with writing(self.folder):
                remove_leftovers(self.folder)
                self.answered = self._recover()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._close()
        finally:
            if self._lock is not None:
                self._lock.close()

    @property
    def predictions_path(self) -> Path:
        """The append-only predictions file."""
        return self.folder / "predictions.jsonl"

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace the manifest atomically."""
        write_json(self.folder / MANIFEST, manifest.written())

    def append(self, question_id: str, line: bytes) -> None:
        """Write one ``prediction_line``; it survives a kill at once, a power cut after a second."""
        with writing(self.predictions_path):
            if self._file is None:
                # Unbuffered: nothing is left behind that a later close could fail to write.
                self._file = self.predictions_path.open("ab", buffering=0)
            _write_all(self._file, line)
            self.answered.add(question_id)
            if monotonic() - self._synced > FSYNC_SECONDS:
                self._sync()

    def finish(self) -> None:
        """Put the predictions in question order, so that equal runs are equal files."""
        self._close()
        rows = {row["question_id"]: line for line, row in read_predictions(self.predictions_path)}
        if list(rows) == list(self.question_ids):
            return
        with atomic_file(self.predictions_path) as file:
            for question_id in self.question_ids:
                file.write(rows[question_id])

    def _take_lock(self) -> None:
        assert self._lock is not None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunLockedError(
                f"{self.folder}: another process is writing this run; wait for it or stop it"
            ) from error
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be locked ({error.strerror}); choose a folder on a local "
                "disk"
            ) from error

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

    def _recover(self) -> set[str]:
        """Ids already answered; a truncated last line is cut off and will be answered again."""
        path = self.predictions_path
        if not path.exists():
            return set()
        with path.open("rb+") as file:
            data = file.read()
            end = data.rfind(b"\n") + 1
            if end < len(data):
                file.truncate(end)
        known = set(self.question_ids)
        answered: set[str] = set()
        for number, (_, row) in enumerate(read_predictions(path), start=1):
            question_id = row["question_id"]
            if question_id not in known or question_id in answered:
                raise InputError(
                    f"{path}:{number}: 'question_id' {question_id!r} is repeated or not of this "
                    "run; delete the run folder"
                )
            answered.add(question_id)
        return answered


def _write_all(file: FileIO, data: bytes) -> None:
    """Write every byte: an unbuffered file may take a part of them."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]


def prediction_line(question_id: str, prediction: Prediction) -> bytes:
    """A prediction as one line; TypeError or ValueError if it holds what JSON cannot."""
    if not isinstance(prediction.answer, str):
        raise TypeError(f"the answer is {type(prediction.answer).__name__}, not str")
    return canonical_json(prediction_row(question_id, prediction)).encode() + b"\n"


def prediction_row(question_id: str, prediction: Prediction) -> dict[str, Any]:
    """A prediction as it is stored, one JSON object a line.

    ``retrieved_ids`` are those ranked; ``read_ids`` stand there only where ``read_ids`` cannot
    tell them from the rest of the row.
    """
    row = {
        "question_id": question_id,
        "answer": prediction.answer,
        "raw": prediction.raw or "",
        "retrieved_ids": prediction.ranked_ids,
        "steps": [{"kind": step.kind, **step.data} for step in prediction.steps],
        "usage": asdict(prediction.usage),
        "error": prediction.error,
    }
    told = prediction.read is None or prediction.read_ids == read_ids(row)
    return row if told else {**row, "read_ids": prediction.read_ids}


def read_ids(row: Mapping[str, Any]) -> list[str]:
    """Ids of the documents that were read, of a stored prediction.

    What the row says, else what its ``select`` steps noted as ``memories_read``, else all that was
    ranked.
    """
    if "read_ids" in row:
        return list(row["read_ids"])
    noted = [
        step["memories_read"]
        for step in row.get("steps", ())
        if step.get("kind") == "select" and "memories_read" in step
    ]
    return [id_ for ids in noted for id_ in ids] if noted else list(row["retrieved_ids"])


def read_predictions(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The raw line and the row of every prediction; InputError names a broken line."""
    if not path.is_file():
        raise InputError(f"{path}: missing; run the same board again to answer its questions")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                row["question_id"], row["answer"], row["retrieved_ids"], row["usage"].items()
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"{path}:{number}: not a prediction ({error}); delete the line to have the "
                    "question answered again"
                ) from error
            yield line, row


def run_folders(root: Path) -> list[Path]:
    """Every run folder below ``root`` (or ``root`` itself), sorted."""
    folders = sorted(path.parent for path in root.rglob(MANIFEST))
    # What a method saved may hold a manifest of its own.
    return [
        folder for folder in folders if MEMORY_FOLDER not in folder.relative_to(root).parts[:-1]
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
