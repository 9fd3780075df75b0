"""Costs over dealt pools: what the runs over all pools of a size took together.

Writing, storage and throughput are sums over the pools, usage a mean over all questions; single
queries are those of all pools. Of opening, memory and prefixes the pool that took most counts, as
among the seeds of a row. A sum that a pool lacks is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from harness.records import SHARED
from harness.runs.manifest import Hardware
from harness.runs.performance import (
    Index,
    Latency,
    Performance,
    Prefix,
    Storage,
    Throughput,
    Usage,
    Write,
)
from leaderboards.collect import Run

Part = TypeVar("Part")


def joined_costs(runs: Sequence[Run], hardware: Hardware) -> Performance:
    """The costs of runs over the pools of a size; timings count only from ``hardware``."""
    every = [run.performance for run in runs]
    here = [run.performance for run in runs if run.manifest.hardware.key == hardware.key]
    alone = here if len(here) == len(every) else []
    parts: dict[str, Any] = {
        "write": _of_all([each.write for each in alone], _write),
        "index": _of_all([each.index for each in alone], _index),
        "throughput": _of_all([each.throughput for each in alone], _throughput),
        "usage": _usage(runs),
        "storage": _of_all([each.storage for each in every], _storage),
        "latency": _latency([each.latency for each in here if each.latency]),
        "prefix": _prefix([each.prefix for each in here if each.prefix]),
        "cold_start": max(
            (each.cold_start for each in here if each.cold_start),
            key=lambda start: start.seconds,
            default=None,
        ),
        "memory": max(
            (each.memory for each in here if each.memory),
            key=lambda memory: memory.peak_bytes,
            default=None,
        ),
        "retries": sum(each.retries or 0 for each in every) or None,
    }
    return Performance(**{name: part for name, part in parts.items() if part is not None})


def _of_all(parts: Sequence[Part | None], join: Callable[[list[Part]], Part]) -> Part | None:
    """The join of a part that all pools have."""
    known = [part for part in parts if part is not None]
    return join(known) if known and len(known) == len(parts) else None


def _sum(counts: Sequence[Any]) -> Any:
    return None if None in counts else sum(counts)


def _write(writes: list[Write]) -> Write:
    counts = ("llm_calls", "retrievals", "prompt_tokens", "completion_tokens")
    processes = [write.processes for write in writes if write.processes is not None]
    return Write(
        seconds=sum(write.seconds for write in writes),
        processes=max(processes, default=None),
        **{name: _sum([getattr(write, name) for write in writes]) for name in counts},
    )


def _index(indexes: list[Index]) -> Index:
    seconds = _sum([index.seconds for index in indexes])
    return Index(cached=all(index.cached for index in indexes), seconds=seconds)


def _throughput(batches: list[Throughput]) -> Throughput:
    return Throughput(
        questions=sum(batch.questions for batch in batches),
        seconds=sum(batch.seconds for batch in batches),
    )


def _usage(runs: Sequence[Run]) -> Usage | None:
    """Means over all questions; of prefixes, which are noted where there are any, 0 elsewhere."""
    known = [(run.performance.usage, len(run.question_ids)) for run in runs]
    if any(usage is None for usage, _ in known):
        return None
    means = {}
    for name in Usage.model_fields:
        values = [getattr(usage, name) for usage, _ in known]
        if name == "prefix_tokens" and any(values):
            values = [value or 0.0 for value in values]
        if None not in values:
            total = sum(value * n for value, (_, n) in zip(values, known, strict=True))
            means[name] = total / sum(n for _, n in known)
    return Usage(**means)


def _storage(stores: list[Storage]) -> Storage:
    """The pools' own parts added up; what they share is there once."""
    names = sorted({name for store in stores for name in store.parts})
    join: dict[str, Callable[[list[int]], int]] = {SHARED: max}
    return Storage(
        parts={n: join.get(n, sum)([store.parts.get(n, 0) for store in stores]) for n in names},
        documents=sum(store.documents for store in stores),
        left_out=sum(store.left_out for store in stores),
    )


def _latency(timed: list[Latency]) -> Latency | None:
    """The single queries of all pools, those first that further passes timed again."""
    if not timed:
        return None
    passes = max(len(each.again) for each in timed)
    again = [max((len(one) for one in each.again), default=0) for each in timed]

    def column(values: Callable[[Latency], Sequence[Any]], missing: Any) -> list[Any]:
        rows = [list(values(each)) or [missing] * len(each.seconds) for each in timed]
        first = [value for row, n in zip(rows, again, strict=True) for value in row[:n]]
        return first + [value for row, n in zip(rows, again, strict=True) for value in row[n:]]

    def anew(number: int) -> list[float | None]:
        found: list[float | None] = []
        for each, n in zip(timed, again, strict=True):
            row = list(each.again[number]) if number < len(each.again) else []
            found += row + [None] * (n - len(row))
        return found

    kinds = sorted({kind for each in timed for kind in each.by_kind})
    same = _sum([each.same_as_batched for each in timed])
    knows_first = any(each.first_token for each in timed)
    knows_ids = all(each.question_ids for each in timed)
    return Latency(
        seconds=column(lambda each: each.seconds, 0.0),
        warmup=sum(each.warmup for each in timed),
        first_token=column(lambda each: each.first_token, None) if knows_first else [],
        again=[anew(number) for number in range(passes)],
        isolated=all(each.isolated for each in timed),
        by_kind={kind: column(_of_kind(kind), 0.0) for kind in kinds},
        same_as_batched=same,
        question_ids=column(lambda each: each.question_ids, None) if knows_ids else [],
    )


def _of_kind(kind: str) -> Callable[[Latency], Sequence[float]]:
    return lambda latency: latency.by_kind.get(kind, [])


def _prefix(found: list[Prefix]) -> Prefix | None:
    if not found:
        return None
    read = [prefix.seconds for prefix in found if prefix.seconds is not None]
    return Prefix(
        positions=max(prefix.positions for prefix in found),
        bytes=max(prefix.bytes for prefix in found),
        seconds=max(read, default=None),
        first_token=[second for prefix in found for second in prefix.first_token],
    )
