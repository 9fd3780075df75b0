"""Another process, in which a method answers again: Python orders sets otherwise there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.authors.target import find_target
from harness.errors import RunFailedError
from harness.registry import load_plugin
from harness.runs.predictions import prediction_row
from harness.sentences import split_lines
from harness.testing.conformance_lab import Lab

_SEED = "PYTHONHASHSEED"
_CODE = "import sys; from harness.authors.elsewhere import main; main(*sys.argv[1:])"


def answers_elsewhere(
    target: str, values: dict[str, Any], seconds: float, plugins: Sequence[str] = ()
) -> dict[str, Any]:
    """Rows of predictions by question id, from a process with another order of sets.

    ``plugins`` are loaded there, too. Raises RunFailedError if it gives none.
    """
    seed = "1" if os.environ.get(_SEED) != "1" else "2"
    there = {_SEED: seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _CODE, target, json.dumps(values), str(seconds), *plugins]
    try:
        done = subprocess.run(
            command, env={**os.environ, **there}, capture_output=True, text=True,
            timeout=60 + 20 * seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise RunFailedError("another process gave no answers in time") from error
    if done.returncode != 0:
        told = (split_lines(done.stderr.strip()) or ["no message"])[-1]
        raise RunFailedError(f"another process gave no answers: {told}")
    rows: dict[str, Any] = json.loads(split_lines(done.stdout)[-1])
    return rows


def main(target: str, values: str, seconds: str, *plugins: str) -> None:
    """Answer the plain questions and write the rows to standard output."""
    for plugin in plugins:
        load_plugin(plugin)
    found = find_target(target, float(seconds))
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(found.cls, json.loads(values), None, (10**6, float(seconds)), Path(folder))
        rows = {id_: prediction_row(id_, each.prediction) for id_, each in lab.plain.items()}
    sys.stdout.write("\n" + json.dumps(rows) + "\n")
