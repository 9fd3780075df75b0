"""Cells: how a row's numbers are written, as plain text that every writer escapes for itself."""

from __future__ import annotations

from collections.abc import Iterable

from harness.runs.usage import MANY
from leaderboards.rows import Row, Score

MISSING = "\u2014"
ELSEWHERE = "\u2014\u2021"
_KINDS = {"rss": "RSS", "vram": "VRAM", "": ""}


def percent(value: float | None) -> str:
    """A share as a percentage with one digit after the point."""
    return MISSING if value is None else f"{100 * value:.1f}"


def number(value: float | None) -> str:
    """Three digits that count, all of them from a hundred on."""
    if value is None:
        return MISSING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def count(value: int | None) -> str:
    """A whole number, such as 12,345."""
    return MISSING if value is None else f"{value:,}"


def score(value: Score | None) -> str:
    """Mean, 95% interval and, of several seeds, standard deviation over them."""
    if value is None:
        return MISSING
    text = percent(value.mean)
    if value.interval is not None:
        low, high = value.interval
        text += f" [{percent(low)}, {percent(high)}]"
    return text if value.std is None else f"{text} \u00b1 {percent(value.std)}"


def timed(value: float | None, unit: str, row: Row) -> str:
    """A measurement that counts only on the table's hardware."""
    if value is None:
        return ELSEWHERE if row.cost.elsewhere else MISSING
    return f"{number(value)} {unit}"


def percentiles(p50: float | None, p90: float | None, row: Row) -> str:
    """Median and 90th percentile of seconds in one unit: ``0.13 / 0.2 s`` as milliseconds."""
    if p50 is None or p90 is None:
        return timed(None, "s", row)
    if p90 < 1:
        return f"{number(p50 * 1e3)} / {number(p90 * 1e3)} ms"
    return f"{number(p50)} / {number(p90)} s"


def first_token(row: Row) -> str:
    """Time to the first token; of how many questions, where it is not known of all."""
    cost = row.cost
    of = cost.ttft_queries
    told = f" (of {of})" if 0 < of < cost.latency_queries else ""
    return percentiles(cost.ttft_p50, cost.ttft_p90, row) + told


def tokens(row: Row) -> float | None:
    """Prompt and completion tokens of a question together."""
    prompt, completion = row.cost.prompt_tokens, row.cost.completion_tokens
    return None if prompt is None or completion is None else prompt + completion


def all_tokens(row: Row) -> str:
    """Tokens of a question together, and the positions of a prefix that it did not read."""
    text, before = number(tokens(row)), row.cost.prefix_tokens
    return f"{text} (+{number(before)})" if before else text


def prefix(row: Row) -> str:
    """Positions of a prefix; if text was read, the seconds of that with and without keeping it."""
    cost = row.cost
    if cost.prefix_positions is None:
        return timed(None, "", row) if cost.prefix_tokens else MISSING
    text = f"{cost.prefix_positions:,}"
    if cost.prefix_seconds is None:
        return text
    read = f"{text} in {number(cost.prefix_seconds)} s"
    first = cost.prefix_first_token_p50
    return read if first is None else f"{read}, first token {number(first)} s"


def not_shown(row: Row) -> str:
    """Passages that did not fit into the prompt, and those of which only a part fitted."""
    dropped, cut = row.cost.passages_dropped, row.cost.passages_cut
    if dropped is None or not _has_reader(row):
        return MISSING
    return f"{number(dropped)} / {number(cut)}"


def memory(row: Row) -> str:
    """Peak memory and where it was."""
    size = row.cost.memory_bytes
    if size is None:
        return timed(None, "", row)
    kind = _KINDS.get(row.cost.memory_kind or "", "of another kind")
    return f"{size / 1e9:.2f} GB {kind}" if size >= 1e9 else f"{size / 1e6:.0f} MB {kind}"


def storage(row: Row) -> str:
    """Megabytes for a thousand documents, and those that all documents share."""
    own, shared = row.cost.storage_mb_per_1000, row.cost.storage_shared_mb
    return f"{number(own)} (+{number(shared)})" if own is not None and shared else number(own)


def _has_reader(row: Row) -> bool:
    return bool(row.cost.retrievals) or row.recall is not None


def has_doubtful_replies(rows: Iterable[Row]) -> bool:
    """Whether many replies of any row were empty or cut off by the token limit."""
    return any(max(row.cost.empty or 0, row.cost.cut_off or 0) >= MANY for row in rows)
