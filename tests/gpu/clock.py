"""The latency meter: work that an answer left queued on the device is in its time."""

from __future__ import annotations

from time import perf_counter

import torch

from harness.meters.latency import measure_closed_loop
from harness.method import Method, MethodCard
from harness.records import Prediction
from harness.testing.models import RuleModel
from tests.gpu.models import SEED, Folders
from tests.gpu.report import Found
from tests.harness.programs import open_with, queries

QUESTIONS = 5


class Queues(Method):
    """Leaves products of large matrices to the device and answers without waiting for them."""

    card = MethodCard("Queues", "For the GPU check.")
    device = "cpu"
    works: list[_Work]

    async def answer(self, query):
        """Queue and answer."""
        self.works.append(_Work(self.device))
        return Prediction("queued")


def check_latency(device: str, folders: Folders) -> Found:
    """No measured latency is shorter than what the device itself took for the answer's work."""
    method = Queues(Queues.Params())
    method.device, method.works = device, []
    _Work(device)  # the first products load libraries
    opened = open_with(method, RuleModel(), window=1)
    latency, _, _ = measure_closed_loop(
        opened.engine, opened.method, queries(QUESTIONS), device=device
    )
    took = [work.seconds() for work in method.works]
    queueing = [work.queueing for work in method.works]
    pairs = list(zip(latency["seconds"], took, strict=True))
    # A hundredth less: the device has a clock of its own.
    passed = all(measured >= 0.99 * seconds for measured, seconds in pairs)
    if device != "cpu":
        # Without waiting, the meter would have seen so much alone.
        passed &= all(waited < seconds / 2 for waited, seconds in zip(queueing, took, strict=True))
    facts = {
        "device_seconds": took,
        "seconds_to_queue": queueing,
        "measured_seconds": latency["seconds"],
    }
    return Found(passed, "none", QUESTIONS, SEED, facts)


class _Work:
    """Some tens of milliseconds of work, given to a device; a CPU does it at once."""

    def __init__(self, device: str) -> None:
        on_gpu = device != "cpu"
        size, times, dtype = (8192, 50, torch.bfloat16) if on_gpu else (512, 4, torch.float32)
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if on_gpu else []
        matrix = torch.ones(size, size, dtype=dtype, device=device)
        start = perf_counter()
        for event in self.events[:1]:
            event.record()
        for _ in range(times):
            matrix @ matrix
        for event in self.events[1:]:
            event.record()
        self.queueing = perf_counter() - start

    def seconds(self) -> float:
        """What the device took, by its own events."""
        if not self.events:
            return self.queueing
        first, last = self.events
        last.synchronize()
        return first.elapsed_time(last) / 1000
