"""The report of a GPU check: what was found, as JSON and as a short table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

NO_GPU = (
    "**No GPU run:** this was a CPU. It shows that the script works and says nothing of a GPU; an "
    "out-of-memory error was raised by the check itself, and the model of Llama-3.1-8B's shape was "
    "a tiny one of the same architecture."
)


@dataclass(frozen=True)
class Found:
    """What one check found."""

    passed: bool
    model: str
    n: int
    seed: int
    facts: Mapping[str, Any]


def write_report(folder: Path, about: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Write gpu-check.json and gpu-check.md to ``folder``; returns the latter's text."""
    folder.mkdir(parents=True, exist_ok=True)
    checks = {name: asdict(one) for name, one in found.items()}
    data = json.dumps({**about, "checks": checks}, indent=2, default=str)
    (folder / "gpu-check.json").write_text(data + "\n", encoding="utf-8")
    text = _markdown(about, found)
    (folder / "gpu-check.md").write_text(text, encoding="utf-8")
    return text


def _markdown(about: Mapping[str, Any], found: Mapping[str, Found]) -> str:
    lines = [
        "# GPU check",
        "",
        f"Hardware: {about['hardware']} (device {about['device']}). Date: {about['date']}. "
        f"torch {about['torch']}, transformers {about['transformers']}, commit {about['commit']}. "
        f"{about['seconds']:.0f} s.",
        "",
        *([NO_GPU, ""] if about["device"] == "cpu" else []),
        "| check | result | model | n | seed |",
        "|---|---|---|---|---|",
    ]
    for name, one in found.items():
        result = "passed" if one.passed else "FAILED"
        lines.append(f"| {name} | {result} | {one.model} | {one.n} | {one.seed} |")
    for name, one in found.items():
        lines += ["", f"## {name}", ""]
        lines += [f"- {key}: {_short(value)}" for key, value in one.facts.items()]
    return "\n".join(lines) + "\n"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}" if not isinstance(value, bool) else str(value).lower()
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_short, value)) or "none"
    return str(value)
