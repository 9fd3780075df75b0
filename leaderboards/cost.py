"""The cost of a row: latency, throughput, calls, tokens, memory and storage over its seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.records import SHARED, StorageReport
from harness.runs.manifest import Hardware
from harness.runs.performance import Latency, Performance, Prefix, Usage, Write
from leaderboards.collect import Run

_PER_QUESTION = (
    "llm_calls", "retrievals", "prompt_tokens", "completion_tokens", "passages_dropped",
    "passages_cut", "prefix_tokens", "empty", "cut_off",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of one row; None where nothing was measured.

    ``latency_*`` are seconds for one query at a time, ``ttft_*`` until the first token of its last
    reply (known of ``ttft_queries``), ``latency_noise`` by what share a query's seconds differed
    between passes (the median question). ``cold_start_seconds`` is what opening model, index and
    memory takes once they are built, ``index_seconds`` what building the index took,
    ``index_cached`` whether that was before the run, ``write_seconds`` what writing a method's own
    memory took where no other run shared the cores, ``write_calls`` and so on what it asked
    meanwhile: each the highest of the row's runs. ``prefix_positions`` are those of the key/value
    prompt that questions had, ``prefix_bytes`` its size, ``prefix_seconds`` what reading its text
    once takes (the highest of the row's runs), ``prefix_first_token_p50`` the median until the
    first token of questions that read it themselves. ``isolated``: all of its latency and memory is
    of processes that ran nothing else. ``throughput`` are questions a second when batched. Calls,
    retrievals, tokens and passages are means per question; ``empty`` and ``cut_off`` are shares of
    the questions (``performance.Usage``). Memory is the highest peak; ``memory_baseline_bytes`` is
    what the model alone had in use, known of isolated runs.
    ``elsewhere`` is the hardware whose timings were left out because the table has another.
    """

    latency_p50: float | None = None
    latency_p90: float | None = None
    latency_queries: int = 0
    latency_noise: float | None = None
    ttft_p50: float | None = None
    ttft_p90: float | None = None
    ttft_queries: int = 0
    cold_start_seconds: float | None = None
    index_seconds: float | None = None
    index_cached: bool = False
    write_seconds: float | None = None
    prefix_positions: int | None = None
    prefix_bytes: int | None = None
    prefix_seconds: float | None = None
    prefix_first_token_p50: float | None = None
    write_calls: int | None = None
    write_searches: int | None = None
    write_prompt_tokens: int | None = None
    write_completion_tokens: int | None = None
    isolated: bool = False
    throughput: float | None = None
    llm_calls: float | None = None
    retrievals: float | None = None
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    prefix_tokens: float | None = None
    passages_dropped: float | None = None
    passages_cut: float | None = None
    empty: float | None = None
    cut_off: float | None = None
    memory_kind: str | None = None
    memory_bytes: int | None = None
    memory_baseline_bytes: int | None = None
    storage_mb_per_1000: float | None = None
    storage_shared_mb: float | None = None
    storage_parts: Mapping[str, float] = field(default_factory=dict)
    """Megabytes for a thousand documents by part, what is shared left out."""
    documents_left_out: int = 0
    """Documents of the corpus that a run's memory has no room for, the most of them."""
    elsewhere: str | None = None

    @property
    def write_tokens(self) -> int | None:
        """Prompt and completion tokens of writing; None if either is not known."""
        if self.write_prompt_tokens is None or self.write_completion_tokens is None:
            return None
        return self.write_prompt_tokens + self.write_completion_tokens


def common_hardware(runs: Iterable[Run]) -> Hardware:
    """Return the hardware on which most runs were timed; of equals, the first by its key."""
    everything = list(runs)
    timed = [run for run in everything if _timed(run)] or everything
    by_key = {run.manifest.hardware.key: run.manifest.hardware for run in timed}
    counts = Counter(run.manifest.hardware.key for run in timed)
    return by_key[min(counts, key=lambda key: (-counts[key], key))]


def row_cost(runs: Sequence[Run], hardware: Hardware) -> Cost:
    """Join the costs of one row's runs. Timings and memory count only from ``hardware``.

    The memory of this machine is not that of a model which runs on another.
    """
    measured_here = [run for run in runs if run.manifest.hardware.key == hardware.key]
    here = [run.performance for run in measured_here]
    batches = [p.throughput for p in here if p.throughput]
    seconds = sum(batch.seconds for batch in batches)
    peaks = [p.memory for p in here if p.memory and not hardware.is_remote]
    peak = max(peaks, key=lambda memory: memory.peak_bytes, default=None)
    parts = [run.performance.storage for run in runs if run.performance.storage]
    stores = [StorageReport(storage.parts, storage.documents) for storage in parts]
    usage: dict[str, Any] = {name: _mean_usage(runs, name) for name in _PER_QUESTION}
    away = [run.manifest.hardware.text for run in runs if _timed(run)]
    return Cost(
        **_latency([p.latency for p in here if p.latency]),
        **_opening(here),
        **_prefix([p.prefix for p in here if p.prefix]),
        **_writing([run.performance.write for run in runs if run.performance.write]),
        throughput=sum(batch.questions for batch in batches) / seconds if seconds else None,
        **usage,
        memory_kind=peak.kind if peak else None,
        memory_bytes=peak.peak_bytes if peak else None,
        memory_baseline_bytes=peak.baseline_bytes if peak else None,
        storage_mb_per_1000=_mean([store.mb_per_1000 for store in stores]),
        storage_shared_mb=_mean([store.shared / 1e6 for store in stores]),
        storage_parts=_storage_parts(stores),
        documents_left_out=max((storage.left_out for storage in parts), default=0),
        elsewhere=away[0] if away and not any(map(_timed, measured_here)) else None,
    )


def _latency(timed: Sequence[Latency]) -> dict[str, Any]:
    seconds = [second for latency in timed for second in latency.seconds]
    first = [s for latency in timed for s in latency.first_token if s is not None]
    spreads = [spread for latency in timed for spread in latency.spreads]
    p50, p90 = _percentiles(seconds)
    ttft_p50, ttft_p90 = _percentiles(first)
    return {
        "latency_p50": p50,
        "latency_p90": p90,
        "latency_queries": len(seconds),
        "latency_noise": float(np.median(spreads)) if spreads else None,
        "ttft_p50": ttft_p50,
        "ttft_p90": ttft_p90,
        "ttft_queries": len(first),
        "isolated": bool(timed) and all(latency.isolated for latency in timed),
    }


def _percentiles(seconds: Sequence[float]) -> tuple[float | None, float | None]:
    """The 50th and the 90th."""
    if not seconds:
        return None, None
    p50, p90 = np.percentile(seconds, [50, 90]).tolist()
    return p50, p90


def _opening(here: Sequence[Performance]) -> dict[str, Any]:
    cold = [p.cold_start.seconds for p in here if p.cold_start]
    indexes = [p.index for p in here if p.index]
    built = [index.seconds for index in indexes if index.seconds is not None]
    alone = [p.write.seconds for p in here if p.write and (p.write.processes or 1) == 1]
    return {
        "cold_start_seconds": max(cold, default=None),
        "index_seconds": max(built, default=None),
        "index_cached": bool(indexes) and all(index.cached for index in indexes),
        "write_seconds": max(alone, default=None),
    }


def _prefix(found: Sequence[Prefix]) -> dict[str, Any]:
    read = [prefix.seconds for prefix in found if prefix.seconds is not None]
    first = [s for prefix in found for s in prefix.first_token if s is not None]
    return {
        "prefix_positions": max((prefix.positions for prefix in found), default=None),
        "prefix_bytes": max((prefix.bytes for prefix in found), default=None),
        "prefix_seconds": max(read, default=None),
        "prefix_first_token_p50": _percentiles(first)[0],
    }


def _writing(writes: Sequence[Write]) -> dict[str, Any]:
    """What no hardware changes; of memories of one row, whose seeds differ, the dearest."""

    def most(name: str) -> int | None:
        counts = [getattr(write, name) for write in writes]
        return None if not counts or None in counts else max(counts)

    return {
        "write_calls": most("llm_calls"),
        "write_searches": most("retrievals"),
        "write_prompt_tokens": most("prompt_tokens"),
        "write_completion_tokens": most("completion_tokens"),
    }


def _storage_parts(stores: Sequence[StorageReport]) -> dict[str, float]:
    names = sorted({name for store in stores for name in store.parts} - {SHARED})
    shares = [1 / max(store.documents, 1) / 1000 / len(stores) for store in stores]
    return {
        name: sum(s.parts.get(name, 0) * share for s, share in zip(stores, shares, strict=True))
        for name in names
    }


def average_cost(costs: Sequence[Cost]) -> Cost:
    """Average over tasks what does not depend on hardware; no average if a task lacks it."""
    means: dict[str, Any] = {
        name: _mean([getattr(cost, name) for cost in costs]) for name in _PER_QUESTION
    }
    return Cost(**means)


def _timed(run: Run) -> bool:
    performance = run.performance
    return bool(performance.latency or performance.throughput or performance.memory)


def _mean_usage(runs: Sequence[Run], name: str) -> float | None:
    measured = [run.performance.usage for run in runs if run.performance.usage]
    return _mean([_told(usage, name) for usage in measured])


def _told(usage: Usage, name: str) -> float | None:
    """A mean as it is meant: runs of earlier releases wrote 0 for token counts nobody knew."""
    if name in ("prompt_tokens", "completion_tokens") and usage.llm_calls:
        # No prompt is of no token.
        return getattr(usage, name) if usage.prompt_tokens else None
    if name == "passages_cut" and usage.passages_dropped is not None:
        return usage.passages_cut or 0.0  # earlier releases cut none
    if name == "prefix_tokens" and usage.llm_calls is not None:
        return usage.prefix_tokens or 0.0  # noted where there are any
    value: float | None = getattr(usage, name)
    return value


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
