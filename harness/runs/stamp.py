"""The stamp of a run's scores, ``scores.json``: of which files and by which rules they are.

It seals the manifest, too: what a run is called, made on, when and by which release. A change by
the harness renews the seal, so a manifest that is not the stamp's was damaged or edited by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import read_json, write_json
from harness.fingerprint import file_sha256, fingerprint
from harness.metrics import METRICS_VERSION, Rules
from harness.runs.manifest import MANIFEST, Manifest, read_manifest
from harness.runs.record import Count, Record, parse_record

SCORES, STAMP, PREDICTIONS = "scores.jsonl", "scores.json", "predictions.jsonl"


class Stamp(Record):
    """What scores are of. Releases before ``scores_sha256`` wrote neither it nor what follows."""

    metrics_version: int
    predictions_sha256: str
    scores_sha256: str | None = None
    run_id: str | None = None
    failures: dict[str, Count] | None = None
    """Questions recorded with an error, by its kind."""
    metrics: tuple[str, ...] = ()
    scoring: Rules = Rules()
    manifests: tuple[str, ...] = ()
    """Fingerprint of the manifest; two while it is changed, so that no kill leaves a wrong one."""

    @property
    def is_of_today(self) -> bool:
        """Whether this release scores the same way."""
        return self.metrics_version == METRICS_VERSION


def asked_of(manifest: Manifest) -> dict[str, Any]:
    """What the task asks of its scores, where that is more than of most tasks."""
    metrics = {"metrics": list(manifest.metrics)} if manifest.metrics else {}
    rules = {} if manifest.scoring == Rules() else {"scoring": asdict(manifest.scoring)}
    return metrics | rules


def is_scored(folder: Path) -> bool:
    """Whether the scores are there: of these predictions, this metrics version, these metrics."""
    path = folder / STAMP
    if not all((folder / name).exists() for name in (STAMP, PREDICTIONS, SCORES)):
        return False
    record, manifest = read_json(path), read_manifest(folder)
    if not isinstance(record, dict):
        return False
    written = {name: record.get(name) for name in ("metrics_version", "run_id")}
    return bool(
        written == {"metrics_version": METRICS_VERSION, "run_id": manifest.run_id}
        and record.get("predictions_sha256") == file_sha256(folder / PREDICTIONS)
        and record.get("scores_sha256") == file_sha256(folder / SCORES)
        and {k: record[k] for k in ("metrics", "scoring") if k in record} == asked_of(manifest)
    )


def read_stamp(folder: Path, manifest: Manifest) -> Stamp:
    """The stamp of a run that has ended, if it is of this run and of the predictions beside it.

    Raises InputError, naming the file and the fix, if there are no scores or they are of others.
    """
    path, rescore = folder / STAMP, f"run `memory-harness score {folder}`"
    if not path.exists() or not (folder / SCORES).exists():
        raise InputError(f"{folder}: finished but not scored; {rescore}")
    values = read_json(path)
    if not isinstance(values, dict) or not isinstance(values.get("metrics_version"), int):
        raise InputError(f"{path}: 'metrics_version' is missing; {rescore}")
    stamp = parse_record(path, {"predictions_sha256": "", **values}, Stamp)
    if stamp.run_id not in (None, manifest.run_id):
        raise InputError(
            f"{path}: of run {stamp.run_id}, not of {manifest.run_id}: files of two runs are "
            "mixed; restore this run's own"
        )
    check_predictions(folder, stamp)
    # Older scores may be of a card that said less.
    if stamp.is_of_today and {k: values[k] for k in ("metrics", "scoring") if k in values} != (
        asked_of(manifest)
    ):
        raise InputError(f"{path}: the manifest asks for other metrics or rules; {rescore}")
    check_manifest(folder)
    return stamp


def seal_of(folder: Path) -> str:
    """Fingerprint of the manifest as it is now."""
    return fingerprint(read_json(folder / MANIFEST))


def check_manifest(folder: Path) -> None:
    """Raise InputError unless the manifest is the one that the stamp was made beside.

    Without a stamp, or with one of an earlier release, there is nothing to compare.
    """
    known = _manifests(folder)
    if known and seal_of(folder) not in known:
        raise InputError(
            f"{folder / MANIFEST}: changed since the run was scored; restore it, or if the change "
            f"is meant run `memory-harness score {folder}`"
        )


@contextmanager
def resealing(folder: Path, values: Mapping[str, Any]) -> Iterator[None]:
    """While open, these values become the manifest; a stamp then holds before and after."""
    path = folder / STAMP
    if not _manifests(folder):
        yield
        return
    before = [seal_of(folder)] if (folder / MANIFEST).exists() else []
    record, now = read_json(path), fingerprint(values)
    write_json(path, {**record, "manifests": [*before, now]})
    yield
    write_json(path, {**record, "manifests": [now]})


def _manifests(folder: Path) -> list[str]:
    """What the stamp keeps of the manifest; nothing without a stamp and in one of before."""
    path = folder / STAMP
    record = read_json(path) if path.exists() else None
    known = record.get("manifests") if isinstance(record, dict) else None
    return known if isinstance(known, list) else []


def check_predictions(folder: Path, stamp: Stamp) -> None:
    """Raise InputError unless the predictions are those that were scored."""
    predictions = folder / PREDICTIONS
    if not predictions.exists():
        raise InputError(f"{predictions}: missing from a finished run; restore it or run it again")
    if stamp.predictions_sha256 != file_sha256(predictions):
        raise InputError(
            f"{predictions}: changed since they were scored, so the scores are older than the "
            "run's predictions; restore them, or if the change is meant run "
            f"`memory-harness score {folder}`"
        )
