"""Records of an invented run."""

from __future__ import annotations

from typing import Any

from harness.runs.manifest import Manifest, RunConfig

TASK = {
    "name": "nq", "split": "sample", "questions": 3, "questions_fingerprint": "q" * 64,
    "corpus_fingerprint": "c" * 64,
}  # fmt: skip


def config(**changes: Any) -> RunConfig:
    """A config; each part is changed in the values given, the model is replaced."""
    parts = {
        "task": TASK | changes.pop("task", {}),
        "method": {"name": "bm25"} | changes.pop("method", {}),
    }
    return RunConfig.model_validate({"model": {"name": "m"}, **parts, **changes})


def manifest(**changes: Any) -> Manifest:
    """The manifest of a run of that config."""
    values = {
        "schema_version": 1, "run_id": config().run_id, "config": config(),
        "hardware": {"fingerprint": "abc"}, "status": "running",
    }  # fmt: skip
    return Manifest.model_validate({**values, **changes})
