"""Latency as a user of the method feels it: one query at a time, the next when it is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

from harness.engine import Answered, Engine
from harness.meters.memory import PeakMemory
from harness.method import Method
from harness.records import Prediction, Query


def measure_closed_loop(
    engine: Engine,
    method: Method,
    queries: Sequence[Query],
    *,
    count: int | None = None,
    device: str,
    on_answer: Callable[[Answered], None] = lambda _: None,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Prediction]]:
    """Answer ``queries`` one by one until ``count`` are timed (all of them without it).

    A query whose server failed is not timed: the time would be the server's, not the method's.
    ``engine`` must have window 1 and be warm, and ``method`` be opened with it. Returns the latency
    record (seconds per query, total and by kind of call), the memory record, and the predictions by
    question id, to be compared with the batched ones. On a GPU, kernels that an answer left queued
    are within its time and not in the next one's.
    """
    answered: list[Answered] = []

    def keep(result: Answered) -> None:
        if result.unanswered is None:
            answered.append(result)
        on_answer(result)

    enough = takewhile(lambda _: count is None or len(answered) < count, queries)
    engine.settle = partial(synchronise, device)
    with PeakMemory(device) as memory:
        engine.run(method, enough, keep)
    kinds = sorted({kind for result in answered for kind in result.seconds_by_kind})
    latency = {
        "seconds": [round(result.seconds, 6) for result in answered],
        "by_kind": {
            kind: [round(result.seconds_by_kind.get(kind, 0.0), 6) for result in answered]
            for kind in kinds
        },
    }
    return latency, memory.record(), {each.question_id: each.prediction for each in answered}


def synchronise(device: str) -> None:
    """Wait for the kernels that a GPU has taken on; nothing to wait for on other devices."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
