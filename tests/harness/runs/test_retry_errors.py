"""Recorded errors asked again: new answers take their place, all else stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import RunFailedError
from harness.llm.requests import GenerateRequest
from harness.runs.manifest import read_manifest
from harness.runs.unanswered import read_unanswered
from tests.harness.lab import CountingModel, FailingServer, make_plan, without_torch
from tests.harness.runs.going import answers, errors_of, go, ids


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_recorded_errors_are_asked_again_and_all_else_is_kept(files: Path, out: Path) -> None:
    folder = errors_of(files, out, 3, 9, 20)
    old = answers(folder).splitlines()
    plan = replace(make_plan(files), retry_errors=True)
    assert make_plan(files).is_complete(out) and not plan.is_complete(out)
    model = CountingModel()
    go(files, out, model=model, retry_errors=True)
    assert model.calls == 3 * 2
    new = answers(folder).splitlines()
    assert [a for n, a in enumerate(new) if n not in (3, 9, 20)] == [
        a for n, a in enumerate(old) if n not in (3, 9, 20)
    ]
    whole = go(files, out / "whole")
    assert answers(folder) == answers(whole)
    assert (folder / "scores.jsonl").read_bytes() == (whole / "scores.jsonl").read_bytes()
    assert plan.is_complete(out)


def test_an_error_is_kept_until_its_new_answer_is_there(files: Path, out: Path) -> None:
    folder = errors_of(files, out, 3, 9, 20)
    go(files, out, model=FailingServer("number 9 ", "number 20 "), retry_errors=True)
    assert ids(folder, failed=True) == ["q9", "q20"]
    assert read_manifest(folder).status == "finished"
    assert not read_unanswered(folder)


def test_errors_that_come_again_leave_the_run_finished(files: Path, out: Path) -> None:
    numbers = [n for n in range(24) if n not in (5, 15)]
    folder = errors_of(files, out, *numbers)
    old = answers(folder)

    def fail(_: GenerateRequest) -> None:
        raise ConnectionError("gone")

    with pytest.raises(RunFailedError, match="failed with ConnectionError: gone; mend the cause"):
        go(files, out, model=CountingModel(fail), retry_errors=True)
    assert answers(folder) == old
    assert read_manifest(folder).status == "finished"
    assert make_plan(files).is_complete(out)


def test_a_killed_retry_continues_to_the_same_answers(files: Path, out: Path) -> None:
    whole = go(files, out / "whole")
    folder = errors_of(files, out, 3, 9, 20)
    model = CountingModel()

    def kill(_: GenerateRequest) -> None:
        if model.calls > 4:
            raise KeyboardInterrupt

    model.interfere = kill
    with pytest.raises(KeyboardInterrupt):
        go(files, out, model=model, retry_errors=True, window=1)
    assert len(answers(folder).splitlines()) == 24 + 2  # q20's error has not been replaced
    assert read_manifest(folder).status == "running"
    go(files, out)
    assert ids(folder, failed=True) == ["q20"]
    go(files, out, retry_errors=True)
    assert answers(folder) == answers(whole)
