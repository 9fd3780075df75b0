"""Runs that reuse replies: the same answers, counted, marked, and never timed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.fingerprint import fingerprint
from harness.llm.reply_cache import open_store
from harness.llm.requests import GenerateRequest, Reply
from harness.runs.execute import execute
from harness.runs.manifest import read_manifest
from harness.runs.performance import read_performance
from tests.harness.lab import CountingModel, make_plan, quiet, without_torch
from tests.harness.runs.going import answers


class Known(CountingModel):
    """A model that tells what decides its replies, and counts what it was asked."""

    def reply_key(self, request: Any) -> str | None:
        return fingerprint([str(request.prompt), request.max_tokens])


class Stops(Known):
    """Is interrupted after so many replies."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        for index, reply in super().generate(requests):
            if self.calls > self.most:
                raise KeyboardInterrupt
            yield index, reply


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_torch(monkeypatch)
    monkeypatch.setenv("MEMORY_HARNESS_CACHE", str(tmp_path / "cache"))


def go(files: Path, out: Path, model: CountingModel, megabytes: int = 10, **options: Any) -> Path:
    plan = replace(make_plan(files, **options), reply_megabytes=megabytes)
    return execute(plan, out, model, None, quiet())


def counts(folder: Path) -> tuple[int, int]:
    replies = read_manifest(folder).replies
    return replies["calls"], replies["cached"]


@pytest.mark.parametrize("concurrency", [0, 4])
def test_another_run_has_the_same_answers_without_asking(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    monkeypatch.setattr(Known, "concurrency", concurrency)
    plain = go(files, tmp_path / "plain", Known(), megabytes=0)
    first = go(files, tmp_path / "first", model := Known())
    assert model.calls == 48 and counts(first) == (48, 0)
    second = go(files, tmp_path / "second", model := Known())
    assert model.calls == 0 and counts(second) == (48, 48)
    assert answers(plain) == answers(first) == answers(second)
    usage = [read_performance(folder).usage for folder in (plain, first, second)]
    assert usage[0] == usage[1] == usage[2]
    assert read_manifest(second).replies["oldest"]
    assert not read_manifest(plain).replies


def test_what_is_timed_is_asked(files: Path, tmp_path: Path) -> None:
    go(files, tmp_path / "first", Known())
    folder = go(files, tmp_path / "second", model := Known(), queries=6)
    record = read_performance(folder)
    assert record.throughput is None and record.latency is not None
    assert len(record.latency.seconds) == 6 and record.latency.same_as_batched == 6
    assert model.calls >= 12 and counts(folder) == (48, 48)
    timed = go(files, tmp_path / "timed", Known(), megabytes=0)
    assert read_performance(timed).throughput is not None


def test_an_interrupted_run_counts_all_its_sessions(files: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(files, tmp_path / "runs", Stops(20))
    folder = go(files, tmp_path / "runs", model := Known())
    calls, cached = counts(folder)
    assert calls >= 48 and cached > 0 and model.calls <= 48 - 20
    assert answers(folder) == answers(go(files, tmp_path / "plain", Known(), megabytes=0))


def test_a_model_that_cannot_tell_is_asked(files: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = go(files, tmp_path / name, model := CountingModel())
        assert model.calls == 48 and counts(folder) == (48, 0)
    assert open_store(1).count() == 0
