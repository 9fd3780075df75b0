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
    again: Sequence[int] = (),
    device: str,
    on_answer: Callable[[Answered], None] = lambda _: None,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Prediction]]:
    """Answer ``queries`` one by one until ``count`` are timed (all of them without it).

    A query whose server failed is not timed: the time would be the server's, not the method's.
    Further passes time the first queries of those again, as many as each number in ``again`` says.
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
        timed = {result.question_id: result for result in answered}
        first = [query for query in queries if query.id in timed]
        passes = [_seconds_again(engine, method, first[:n], on_answer) for n in again]
    kinds = sorted({kind for result in answered for kind in result.seconds_by_kind})
    latency = {
        "seconds": [round(result.seconds, 6) for result in answered],
        "question_ids": [result.question_id for result in answered],
        "by_kind": {
            kind: [round(result.seconds_by_kind.get(kind, 0.0), 6) for result in answered]
            for kind in kinds
        },
        **_first_tokens(answered),
        **({"again": passes} if passes else {}),
    }
    return latency, memory.record(), {id_: result.prediction for id_, result in timed.items()}


def _seconds_again(
    engine: Engine,
    method: Method,
    queries: Sequence[Query],
    on_answer: Callable[[Answered], None],
) -> list[float | None]:
    """Seconds of each query in a further pass; None of one that was not answered again."""
    seconds: list[float | None] = []

    def keep(result: Answered) -> None:
        failed = result.unanswered is not None or result.prediction.error is not None
        seconds.append(None if failed else round(result.seconds, 6))
        on_answer(result)

    engine.run(method, queries, keep)
    return seconds


def _first_tokens(answered: Sequence[Answered]) -> dict[str, Any]:
    seconds = [result.first_token for result in answered]
    if all(each is None for each in seconds):
        return {}
    return {"first_token": [None if each is None else round(each, 6) for each in seconds]}


def synchronise(device: str) -> None:
    """Wait for the kernels that a GPU has taken on; nothing to wait for on other devices."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
