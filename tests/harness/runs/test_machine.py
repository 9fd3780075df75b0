"""A machine that lacks memory stops a run; it gives no method a wrong answer."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.errors import MachineError, RunFailedError, UnansweredError, machine_failure
from harness.llm.requests import GenerateRequest
from harness.records import Prediction, Query
from harness.runs.manifest import read_manifest
from tests.harness.lab import Ask, CountingModel, Remember, make_plan, without_torch
from tests.harness.runs.going import answers, go, ids

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_torch(monkeypatch)


def lacking(error: Exception) -> Callable[[GenerateRequest], None]:
    """Fails for one question, also alone."""

    def fail(request: GenerateRequest) -> None:
        if "number 7 " in str(request.prompt):
            raise error

    return fail


class Swallows(Ask):
    """Goes on without an answer, whatever it is that failed."""

    async def answer(self, query: Query) -> Prediction:
        try:
            return await super().answer(query)
        except Exception:
            return Prediction("my own answer")


@pytest.mark.parametrize("method", [Ask(), Swallows()])
@pytest.mark.parametrize("concurrency", [0, 4])
def test_no_memory_stops_the_run_and_the_question_is_asked_again(
    method: Ask, concurrency: int, files: Path, tmp_path: Path
) -> None:
    model = CountingModel(lacking(FULL))
    model.concurrency = concurrency
    with pytest.raises(RunFailedError) as stopped:
        go(files, tmp_path / "runs", method, model)
    told = str(stopped.value)
    assert "OutOfMemoryError: CUDA out of memory" in told and "\n" not in told
    assert "--batch-size" in told and "answers so far are kept" in told and "'q7'" in told
    folder = make_plan(files, method).config.folder(tmp_path / "runs")
    kept = ids(folder)
    assert kept and "q7" not in kept and not ids(folder, failed=True)
    assert not read_manifest(folder).has_ended

    again = CountingModel()
    go(files, tmp_path / "runs", method, again)
    assert again.calls == 2 * (24 - len(kept))
    whole = go(files, tmp_path / "whole", method)
    assert answers(folder) == answers(whole)


def test_a_method_that_lacks_memory_itself(files: Path, tmp_path: Path) -> None:
    class Computes(Ask):
        async def answer(self, query: Query) -> Prediction:
            if query.id == "q3":
                raise ValueError("no vectors") from MemoryError("full")
            return await super().answer(query)

    with pytest.raises(MachineError, match="'q3': MemoryError: full"):
        go(files, tmp_path, Computes())


def test_no_memory_while_single_queries_are_timed(files: Path, tmp_path: Path) -> None:
    folder = go(files, tmp_path)
    before = answers(folder)
    with pytest.raises(MachineError, match="all answers are kept.*OutOfMemoryError"):
        go(files, tmp_path, model=CountingModel(lacking(FULL)), queries=24)
    assert answers(folder) == before and read_manifest(folder).is_finished


def test_no_memory_in_the_write_phase(files: Path, tmp_path: Path) -> None:
    class Full(Remember):
        def write(self, *_: object) -> None:
            raise FULL

    with pytest.raises(MachineError, match=r"stopped in write\(\): OutOfMemoryError"):
        go(files, tmp_path, Full())


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        torch.AcceleratorError("CUDA error: device-side assert triggered"),
        MemoryError(),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 80 GB"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_failures_of_the_machine(error: Exception) -> None:
    assert str(machine_failure(error)).startswith(type(error).__name__)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Expected all tensors to be on the same device, found cuda:0 and cpu!"),
        RuntimeError("shape '[2, 3]' is invalid for input of size 5"),
        ValueError("CUDA out of memory, said the passage"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        UnansweredError("the server said: CUDA out of memory"),
    ],
)
def test_failures_that_are_not_the_machines(error: Exception) -> None:
    assert machine_failure(error) is None
