"""Meters: memory that was really used, a machine's fingerprint, single queries one by one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness import cores as cores_
from harness.cores import cpu_quota
from harness.meters import hardware
from harness.meters.hardware import describe_hardware, set_torch_threads
from harness.meters.latency import measure_closed_loop
from harness.meters.memory import PeakMemory, release_memory, tree_rss
from harness.records import Prediction, Query
from harness.testing.models import small_task
from tests.harness.lab import Ask, CountingModel
from tests.harness.programs import open_with

MB = 10**6


def test_a_peak_is_seen_after_it_is_gone() -> None:
    release_memory()  # as the meter does first
    before = tree_rss()
    with PeakMemory("cpu") as memory:
        block = np.ones(200 * MB, np.uint8)
        for _ in range(4):
            memory._stop.wait(0.05)
        del block
    record = memory.record()
    assert record["kind"] == "rss"
    assert 190 * MB < record["peak_bytes"] - before < 400 * MB
    # The allocator may have kept it for later.
    release_memory()
    assert tree_rss() - before < 100 * MB


def test_children_count() -> None:
    code = "x = b'1' * 100_000_000; print(flush=True); input()"
    command = [sys.executable, "-c", code]
    with PeakMemory("cpu") as memory:
        start = tree_rss()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            memory._stop.wait(0.2)
            child.kill()
    assert memory.record()["peak_bytes"] - start > 100 * MB


def test_the_fingerprint_is_stable_and_tells_devices_apart() -> None:
    first, second = describe_hardware(), describe_hardware()
    assert first == second
    assert first.record("cpu") == second.record("cpu")
    assert first.record("cpu")["fingerprint"] != first.record("cuda:0")["fingerprint"]
    assert json.loads(json.dumps(first.record("cpu")))["threads"] >= 1
    assert first.cpu in first.summary
    assert first.cores >= 1
    assert first.memory_gb >= 1


def test_threads_are_part_of_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, prints = describe_hardware(), set()
    for threads in (1, 2):
        monkeypatch.setattr(hardware, "torch_threads", lambda n=threads: n)
        prints.add(machine.record("cpu")["fingerprint"])
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 4), ("200000 100000", 2), ("50000 100000", 1), ("", 4)]
)
def test_the_quota_counts_not_the_machine(monkeypatch, quota: str, cores: int) -> None:
    monkeypatch.setattr(cores_, "cgroup_text", lambda _: quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(4), raising=False)
    assert cpu_quota() == cores


@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("2,1", 2), ("many", 3), ("0", 3)])
def test_omp_threads_override(monkeypatch, asked: str, threads: int) -> None:
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(cores_, "cpu_quota", lambda: 3)
    before = torch.get_num_threads()
    try:
        set_torch_threads()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_the_closed_loop_asks_one_query_at_a_time() -> None:
    batches: list[int] = []

    class Watched(CountingModel):
        def generate(self, requests):
            batches.append(len(requests))
            return super().generate(requests)

    model, steps = Watched(seconds=0.01), []
    opened = open_with(Ask(), model, window=1)
    queries = [question.query for question in small_task().questions]
    latency, memory, answers = measure_closed_loop(
        opened.engine,
        opened.method,
        queries,
        device="cpu",
        on_answer=lambda _: steps.append(1),
    )
    assert set(batches) == {1}
    assert len(batches) == 2 * len(queries)
    assert len(steps) == len(queries)
    assert len(latency["seconds"]) == len(queries)
    assert all(0.02 <= seconds < 1 for seconds in latency["seconds"])
    for total, part in zip(latency["seconds"], latency["by_kind"]["generate"], strict=True):
        assert 0.02 <= part <= total
    assert memory["peak_bytes"] > 10 * MB
    assert list(answers) == [query.id for query in queries]


def test_kernels_that_an_answer_left_queued_are_in_its_time(monkeypatch) -> None:
    import torch

    queued = [0.2]  # by whatever came before
    asked = []

    def wait(device: str) -> None:
        asked.append(device)
        time.sleep(queued.pop() if queued else 0.0)

    class Queueing(Ask):
        async def answer(self, query: Query) -> Prediction:
            queued.append(0.05)
            return Prediction("x")

    monkeypatch.setattr(torch.cuda, "synchronize", wait)
    for name in ("reset_peak_memory_stats", "max_memory_allocated", "max_memory_reserved"):
        monkeypatch.setattr(torch.cuda, name, lambda device: asked.append(device) or 0)
    opened = open_with(Queueing(), CountingModel(), window=1)
    queries = [question.query for question in small_task().questions[:3]]
    latency, _, _ = measure_closed_loop(opened.engine, opened.method, queries, device="cuda:1")
    assert all(0.05 <= seconds < 0.15 for seconds in latency["seconds"])
    assert set(asked) == {"cuda:1"}


def test_failed_queries_are_handed_back() -> None:
    def fail(_: object) -> None:
        raise ConnectionError("gone")

    opened = open_with(Ask(), CountingModel(fail), window=1)
    _, _, answers = measure_closed_loop(
        opened.engine, opened.method, [Query("q", "?")], device="cpu"
    )
    assert answers["q"].error == "ConnectionError: gone"


def test_this_machine_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", lambda _: False)
    assert hardware._cpu_name()
