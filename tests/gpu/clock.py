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

    async def answer(self, query):
        """Queue and answer."""
        queue(self.device)
        return Prediction("queued")


def check_latency(device: str, folders: Folders) -> Found:
    """No measured latency is shorter than the device's own time for what was queued."""
    method = Queues(Queues.Params())
    method.device = device
    for _ in range(3):  # the first products load libraries
        seconds, queueing = _device_seconds(device)
    opened = open_with(method, RuleModel(), window=1)
    latency, _, _ = measure_closed_loop(
        opened.engine, opened.method, queries(QUESTIONS), device=device
    )
    facts = {
        "device_seconds": seconds,
        "seconds_to_queue": queueing,
        "measured_seconds": latency["seconds"],
    }
    # A tenth less: a processor's clock varies between two measurements.
    passed = min(latency["seconds"]) >= 0.9 * seconds
    if device != "cpu":
        # Without waiting, the meter would have seen this much only.
        passed &= queueing < seconds / 2
    return Found(passed, "none", QUESTIONS, SEED, facts)


def queue(device: str) -> None:
    """Give the device work of some tens of milliseconds."""
    size, times, dtype = (8192, 50, torch.bfloat16) if device != "cpu" else (512, 4, torch.float32)
    matrix = torch.ones(size, size, dtype=dtype, device=device)
    for _ in range(times):
        matrix @ matrix


def _device_seconds(device: str) -> tuple[float, float]:
    """The device's time for the work, by its own events, and how long it took to queue it."""
    if device == "cpu":
        # The least of some: a busy machine only adds to it.
        spans = []
        for _ in range(5):
            start = perf_counter()
            queue(device)
            spans.append(perf_counter() - start)
        return min(spans), min(spans)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    start = perf_counter()
    first.record()
    queue(device)
    last.record()
    queueing = perf_counter() - start
    torch.cuda.synchronize(device)
    return first.elapsed_time(last) / 1000, queueing
