"""Runs of a small task, and what they left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.llm.requests import GenerateRequest
from harness.method import Method
from harness.runs.execute import execute
from harness.runs.predictions import read_predictions
from tests.harness.lab import CountingModel, make_plan, quiet


def go(files: Path, out: Path, method: Method | None = None, model=None, **options) -> Path:
    retry = options.pop("retry_errors", False)
    plan = replace(make_plan(files, method, **options), retry_errors=retry)
    return execute(plan, out, model or CountingModel(), None, quiet())


def answers(folder: Path) -> bytes:
    return (folder / "predictions.jsonl").read_bytes()


def ids(folder: Path, failed: bool = False) -> list[str]:
    rows = [row for _, row in read_predictions(folder / "predictions.jsonl")]
    return [row["question_id"] for row in rows if not failed or row["error"]]


def errors_of(files: Path, out: Path, *numbers: int) -> Path:
    """A finished run in which some questions are recorded as errors."""

    def fail(request: GenerateRequest) -> None:
        if any(f"number {n} " in str(request.prompt) for n in numbers):
            raise ConnectionError("gone")

    model = CountingModel(fail)
    model.concurrency = 4
    folder = go(files, out, model=model)
    assert ids(folder, failed=True) == [f"q{n}" for n in numbers]
    return folder
