"""A run that goes on on another machine: its answers stay, and no timing is another machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.meters import hardware
from harness.meters.hardware import Hardware
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from tests.harness.lab import without_torch
from tests.harness.runs.test_execute import QUESTIONS, answers, go


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    without_torch(monkeypatch)
    return tmp_path / "runs"


def test_timing_on_another_machine_keeps_no_throughput(
    files: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = go(files, out, queries=0)
    assert read_performance(folder).throughput.questions == QUESTIONS
    elsewhere = Hardware("another cpu", 64, 512, ())
    monkeypatch.setattr(hardware, "describe_hardware", lambda: elsewhere)
    go(files, out, queries=3)
    assert read_manifest(folder).hardware.cpu == "another cpu"
    assert read_performance(folder).throughput is None
    assert read_manifest(folder).status == "finished"


def test_a_run_that_goes_on_elsewhere_keeps_its_answers_and_no_timing_of_before(
    files: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = go(files, out, queries=3)
    whole = answers(folder)
    path = folder / "predictions.jsonl"
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-2]))
    before = read_performance(folder)
    monkeypatch.setattr(hardware, "describe_hardware", lambda: Hardware("another cpu", 64, 512, ()))
    go(files, out, queries=3)
    assert answers(folder) == whole
    found = read_performance(folder)
    assert found.throughput.questions == 2
    assert found.latency.seconds != before.latency.seconds
    assert read_manifest(folder).hardware.cpu == "another cpu"
