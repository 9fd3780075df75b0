"""Columns on cost: time, which counts on the table's hardware alone, calls, tokens and space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.escape import shortened
from harness.records import SHARED, STORAGE_PARTS
from leaderboards import cells
from leaderboards.columns.base import Column, Field, summed
from leaderboards.rows import Row

Number = Callable[[Row], float | None]

_SOUND = "failed questions are left out"

_LONGEST = 40
_PARTS = tuple(part for part in STORAGE_PARTS if part != SHARED)
"""Parts of a storage report that have a field whether a row has them or not."""


def timing() -> Iterator[Column]:
    """Seconds and what follows of them."""
    yield Column(
        "latency",
        "Latency p50 / p90",
        "Median / 90th percentile of an answer, one question at a time after a warm-up.",
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
        "noise",
        "Latency noise",
        "By how much one question's time differs between passes, median over questions.",
        lambda row: cells.timed(_percent(row.cost.latency_noise), "%", row),
        (Field("latency_noise_share", "float", lambda row: row.cost.latency_noise),),
        "low",
    )
    yield Column(
        "ttft",
        "First token p50 / p90",
        "Median / 90th percentile of the time to the first token of the last reply, searches, "
        "earlier calls and thoughts before it included; measured with the latency, of a server as "
        "its reply streams in.",
        cells.first_token,
        (
            Field("first_token_p50_seconds", "float", lambda row: row.cost.ttft_p50),
            Field("first_token_p90_seconds", "float", lambda row: row.cost.ttft_p90),
            Field("first_token_queries", "int", lambda row: row.cost.ttft_queries),
        ),
        "low",
        short="First token",
    )
    yield Column(
        "prefix",
        "Prefix",
        "Positions before the prompts of all questions, seconds to read their text once, and the "
        "median time to the first token of a question that reads it itself.",
        cells.prefix,
        (
            Field("prefix_seconds", "float", lambda row: row.cost.prefix_seconds),
            Field("prefix_positions", "int", lambda row: row.cost.prefix_positions),
            Field("prefix_bytes", "int", lambda row: row.cost.prefix_bytes),
            Field("first_token_without_prefix_p50_seconds", "float", _without_prefix),
        ),
        "low",
    )
    yield Column(
        "throughput",
        "Throughput",
        "Questions a second in the batched run.",
        lambda row: cells.timed(row.cost.throughput, "q/s", row),
        (Field("throughput_questions_per_second", "float", lambda row: row.cost.throughput),),
        "high",
    )
    yield from _once()


def _once() -> Iterator[Column]:
    yield _seconds(
        "cold_start",
        "Cold start",
        "Seconds to open model, index and memory once they are built.",
        lambda row: row.cost.cold_start_seconds,
    )
    yield Column(
        "index",
        "Index build",
        "Seconds to build the index; before: another run had built it.",
        _index,
        (
            Field("index_seconds", "float", lambda row: row.cost.index_seconds),
            Field("index_built_before", "bool", lambda row: row.cost.index_cached),
        ),
        "low",
    )
    yield _seconds(
        "write",
        "Memory write",
        "Seconds to write the method's own memory, unless other runs shared the cores.",
        lambda row: row.cost.write_seconds,
    )


def usage() -> Iterator[Column]:
    """Costs that no machine changes."""
    yield _amount(
        "calls",
        "Calls/q",
        f"Calls of the model for a question; {_SOUND}.",
        "llm_calls_per_question",
        lambda row: row.cost.llm_calls,
    )
    yield _amount(
        "searches",
        "Searches/q",
        f"Searches for a question; {_SOUND}.",
        "retrievals_per_question",
        lambda row: row.cost.retrievals,
    )
    yield Column(
        "tokens",
        "Tokens/q",
        "Prompt and completion tokens of all calls for a question (+ positions of a prefix, kept); "
        f"{_SOUND}.",
        cells.all_tokens,
        (
            Field("tokens_per_question", "float", cells.tokens),
            Field("prompt_tokens_per_question", "float", lambda row: row.cost.prompt_tokens),
            Field("completion_tokens_per_question", "float", lambda r: r.cost.completion_tokens),
            Field("prefix_tokens_per_question", "float", lambda row: row.cost.prefix_tokens),
        ),
        "low",
    )
    yield from _writing()
    yield Column(
        "dropped",
        "Passages dropped / cut per q",
        "Passages that did not fit into the prompt, and those of which only a part fitted; "
        f"{_SOUND}.",
        cells.not_shown,
        (
            Field("passages_dropped_per_question", "float", lambda row: row.cost.passages_dropped),
            Field("passages_cut_per_question", "float", lambda row: row.cost.passages_cut),
        ),
        "low",
    )


def _writing() -> Iterator[Column]:
    """Of the whole write, where it asks the model; no part of what a question takes."""
    yield Column(
        "write_calls",
        "Write calls",
        "Calls of the model while the method's own memory was written, all together.",
        lambda row: cells.count(row.cost.write_calls),
        (
            Field("write_llm_calls", "int", lambda row: row.cost.write_calls),
            Field("write_retrievals", "int", lambda row: row.cost.write_searches),
        ),
        "low",
    )
    yield Column(
        "write_tokens",
        "Write tokens",
        "Prompt and completion tokens of the calls while the method's own memory was written.",
        lambda row: cells.count(row.cost.write_tokens),
        (
            Field("write_tokens", "int", lambda row: row.cost.write_tokens),
            Field("write_prompt_tokens", "int", lambda row: row.cost.write_prompt_tokens),
            Field("write_completion_tokens", "int", lambda r: r.cost.write_completion_tokens),
        ),
        "low",
    )


def space(rows: Sequence[Row]) -> Iterator[Column]:
    """Memory and disk, disk by the parts that the rows have."""
    yield Column(
        "memory",
        "Memory peak",
        "Peak while single questions are answered: of the GPU, else resident in the process.",
        cells.memory,
        (
            Field("memory_peak_bytes", "int", lambda row: row.cost.memory_bytes),
            Field("memory_of_model_bytes", "int", lambda row: row.cost.memory_baseline_bytes),
            Field("memory_kind", "text", lambda row: row.cost.memory_kind),
            Field("isolated", "bool", lambda row: row.cost.isolated),
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
    parts = {part for row in rows for part in row.cost.storage_parts}.union(_PARTS)
    fields = summed(
        parts,
        lambda row: row.cost.storage_parts,
        "float",
        before="storage",
        after="_mb_per_1000_documents",
    )
    yield Column(
        "parts",
        "Storage by part",
        "Megabytes for a thousand documents, part by part.",
        _parts,
        tuple(fields),
        foreign=True,
    )


def _seconds(name: str, heading: str, explanation: str, value: Number) -> Column:
    fields = (Field(f"{name}_seconds", "float", value),)
    return Column(
        name, heading, explanation, lambda row: cells.timed(value(row), "s", row), fields, "low"
    )


def _amount(name: str, heading: str, explanation: str, field: str, value: Number) -> Column:
    fields = (Field(field, "float", value),)
    return Column(name, heading, explanation, lambda row: cells.number(value(row)), fields, "low")


def _without_prefix(row: Row) -> float | None:
    return row.cost.prefix_first_token_p50


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _index(row: Row) -> str:
    if row.cost.index_seconds is None and row.cost.index_cached:
        return "before"
    return cells.timed(row.cost.index_seconds, "s", row)


def _parts(row: Row) -> str:
    found = row.cost.storage_parts.items()
    told = [f"{shortened(part, _LONGEST)} {cells.number(size)}" for part, size in found]
    return ", ".join(told) or cells.MISSING
