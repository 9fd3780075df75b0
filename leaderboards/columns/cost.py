"""Columns on cost: time, which counts on the table's hardware alone, calls, tokens and space."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from leaderboards import cells
from leaderboards.columns.base import Better, Column, Field
from leaderboards.rows import Row

Number = Callable[[Row], float | None]


def timing() -> Iterator[Column]:
    """Seconds and what follows of them."""
    yield Column(
        "latency",
        "Latency p50 / p90",
        "Median and 90th percentile of an answer, one question at a time after a warm-up.",
        lambda row: cells.percentiles(row.cost.latency_p50, row.cost.latency_p90, row),
        (
            Field("latency_p50_seconds", "float", lambda row: row.cost.latency_p50),
            Field("latency_p90_seconds", "float", lambda row: row.cost.latency_p90),
            Field("latency_queries", "int", lambda row: row.cost.latency_queries),
            Field("elsewhere", "text", lambda row: row.cost.elsewhere),
        ),
        "low",
        short="Latency",
    )
    yield Column(
        "throughput",
        "Throughput",
        "Questions a second in the batched run.",
        lambda row: cells.timed(row.cost.throughput, "q/s", row),
        (Field("throughput_questions_per_second", "float", lambda row: row.cost.throughput),),
        "high",
    )


def usage() -> Iterator[Column]:
    """Costs that no machine changes."""
    yield _amount(
        "calls",
        "Calls/q",
        "Calls of the model for a question.",
        "llm_calls_per_question",
        lambda row: row.cost.llm_calls,
    )
    yield _amount(
        "searches",
        "Searches/q",
        "Searches for a question.",
        "retrievals_per_question",
        lambda row: row.cost.retrievals,
    )
    yield Column(
        "tokens",
        "Tokens/q",
        "Prompt and completion tokens of all calls for a question.",
        lambda row: cells.number(cells.tokens(row)),
        (
            Field("tokens_per_question", "float", cells.tokens),
            Field("prompt_tokens_per_question", "float", lambda row: row.cost.prompt_tokens),
            Field("completion_tokens_per_question", "float", lambda r: r.cost.completion_tokens),
        ),
        "low",
    )
    yield Column(
        "dropped",
        "Passages dropped / cut per q",
        "Passages that did not fit into the prompt, and those of which only a part fitted.",
        cells.not_shown,
        (
            Field("passages_dropped_per_question", "float", lambda row: row.cost.passages_dropped),
            Field("passages_cut_per_question", "float", lambda row: row.cost.passages_cut),
        ),
        "low",
    )


def space() -> Iterator[Column]:
    """Memory and disk."""
    yield Column(
        "memory",
        "Memory peak",
        "Peak while single questions are answered: of the GPU, else resident in the process.",
        cells.memory,
        (
            Field("memory_peak_bytes", "int", lambda row: row.cost.memory_bytes),
            Field("memory_kind", "text", lambda row: row.cost.memory_kind),
        ),
        "low",
    )
    yield Column(
        "storage",
        "Storage MB/1k docs",
        "Megabytes (10^6 bytes) on disk for a thousand documents (+ those that all share).",
        cells.storage,
        (
            Field("storage_mb_per_1000_documents", "float", lambda r: r.cost.storage_mb_per_1000),
            Field("storage_shared_mb", "float", lambda row: row.cost.storage_shared_mb),
        ),
        "low",
        short="MB/1k docs",
    )


def _amount(
    name: str, heading: str, explanation: str, field: str, value: Number, better: Better = "low"
) -> Column:
    fields = (Field(field, "float", value),)
    return Column(name, heading, explanation, lambda row: cells.number(value(row)), fields, better)
