"""Provenance of a page: of every run what was asked of what, where, when and with which versions.

Of a path only its last name is shown: the rest tells of the machine and its user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from harness.runs.manifest import Manifest, read_manifest
from leaderboards.board import Table

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")


def provenance(tables: Iterable[tuple[str, Table]]) -> list[dict[str, Any]]:
    """One record a run of these tables, which come with their names."""
    return [
        _record(name, row.label, read_manifest(folder, any_schema=True))
        for name, table in tables
        for row in table.rows
        for folder in row.folders
    ]


def _record(table: str, label: str, manifest: Manifest) -> dict[str, Any]:
    config, card = manifest.config, manifest.method_card
    return {
        "table": table,
        "label": label,
        "run": manifest.run_id,
        "seed": config.seed,
        "date": manifest.created[:10],
        "harness": manifest.harness.text,
        "hardware": manifest.hardware.text,
        "parts": {name: _shown(part) for name, part in _parts(manifest).items() if part},
        "summary": card.summary,
        "paper": card.paper,
        "deviations": list(card.deviations),
    }


def _parts(manifest: Manifest) -> dict[str, Mapping[str, Any]]:
    config = manifest.config
    method = config.method
    return {
        "Parameters": {"name": method.name, "version": method.version, **method.params},
        "Files it was given, by SHA-256": method.inputs,
        "Model": config.model.written() | manifest.model_provenance,
        "Retriever": (config.retriever or {}) | (manifest.retriever_provenance or {}),
        "Questions and corpus": manifest.task_provenance | config.task.written(),
        "Learnt from": manifest.trained_on,
        "How single questions were timed": manifest.timing,
        "Hardware": manifest.hardware.written(),
        "Versions": {"memory-harness": manifest.harness.text, **manifest.packages},
    }


def _shown(part: Mapping[str, Any]) -> dict[str, Any]:
    """What is set of a part; nulls and empty values say nothing."""
    told = {name: value for name, value in part.items() if value not in (None, "", [], (), {})}
    found: dict[str, Any] = without_paths(told)
    return found


def without_paths(value: Any) -> Any:
    """A value with the last name alone of every absolute path in it."""
    if isinstance(value, Mapping):
        return {str(name): without_paths(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(each) for each in value]
    if isinstance(value, str) and (PurePosixPath(value).is_absolute() or _WINDOWS.match(value)):
        return f"\u2026/{PureWindowsPath(value).name}"
    return value
