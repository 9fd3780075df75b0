"""The columns of a markdown table: headers, and how a row's numbers are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from harness.escape import markdown_text
from harness.metrics import is_added
from harness.runs.usage import MANY
from leaderboards.rows import Row, Score

MISSING = "\u2014"
ELSEWHERE = "\u2014\u2021"

Column = tuple[str, Callable[[Row], str]]


def columns(kind: str, rows: Sequence[Row], k: int) -> list[Column]:
    """Columns of a table of this kind; All-gold only where it says more than Recall."""
    quality: list[Column] = [
        ("Method", _method),
        ("EM [95% CI]", lambda row: _score(row.em)),
        ("F1 [95% CI]", lambda row: _bold(_score(row.f1), row) + _over_seeds(row)),
        ("Contains", lambda row: _percent(row.means.get("contains"))),
        (f"Recall@{k} [95% CI]", lambda row: _optional(row.recall)),
    ]
    if any(row.all_gold not in (None, row.recall) for row in rows):
        quality.append((f"All-gold@{k} [95% CI]", lambda row: _optional(row.all_gold)))
    quality += [
        ("Recall read [95% CI]", lambda row: _optional(row.recall_read)),
        ("Retrieved", lambda row: _percent(row.means.get("retrieved"))),
    ]
    timing: list[Column] = [
        ("Latency p50 / p90", _latency),
        ("Throughput", lambda row: _timed(row.cost.throughput, "q/s", row)),
    ]
    usage: list[Column] = [
        ("Calls/q", lambda row: _number(row.cost.llm_calls)),
        ("Tokens/q", _tokens),
    ]
    if has_readers(rows):
        usage.append(("Passages dropped / cut per q", _not_shown))
    space: list[Column] = [("Memory peak", _memory), ("Storage MB/1k docs", _storage)]
    if kind == "mean":
        return quality + usage + _mishaps(rows)
    return quality + timing + usage + space + _mishaps(rows)


def has_readers(rows: Iterable[Row]) -> bool:
    """Whether any row retrieves, so that passages may not reach its reader."""
    return any(_has_reader(row) for row in rows)


def _has_reader(row: Row) -> bool:
    return bool(row.cost.retrievals) or row.recall is not None


def has_doubtful_replies(rows: Iterable[Row]) -> bool:
    """Whether many replies of any row were empty or cut off by the token limit."""
    return any(max(row.cost.empty or 0, row.cost.cut_off or 0) >= MANY for row in rows)


def _mishaps(rows: Sequence[Row]) -> list[Column]:
    """Errors in any case, the others only where there are any; small shares are in the CSV."""
    found: list[Column] = [("Errors", lambda row: f"{row.errors:,}")]
    if any(row.unanswered for row in rows):
        found.append(("Unanswered", lambda row: f"{row.unanswered:,}"))
    if any(row.retries for row in rows):
        found.append(("Retries", lambda row: f"{row.retries:,}"))
    if has_doubtful_replies(rows):
        found.append(("Empty", lambda row: _percent(row.cost.empty)))
        found.append(("Cut off", lambda row: _percent(row.cost.cut_off)))
    return found


def further_columns(rows: Sequence[Row], k: int) -> list[Column]:
    """Columns of the table below: scores that the task adds, and recalls that say more.

    Only the methods' names where there are none.
    """
    beside = {
        f"Hit@{k}": (f"hit@{k}", f"recall@{k}"),
        "Recall retrieved": ("recall_retrieved", "recall_read"),
    }
    further: list[Column] = [
        (header, _mean_of(name))
        for header, (name, known) in beside.items()
        if any(row.means.get(name) not in (None, row.means.get(known)) for row in rows)
    ]
    added = sorted({name for row in rows for name in row.means if is_added(name)})
    return [("Method", _method), *further, *((name, _mean_of(name)) for name in added)]


def _mean_of(name: str) -> Callable[[Row], str]:
    return lambda row: _percent(row.means.get(name))


def _method(row: Row) -> str:
    name = _bold(markdown_text(row.label), row)
    marks = [" \u2020oracle"] if row.oracle else []
    marks += [" \u2020external"] if row.external else []
    return name + "".join(marks)


def _bold(text: str, row: Row) -> str:
    return f"**{text}**" if row.top else text


def _score(score: Score) -> str:
    low, high = score.interval
    return f"{_percent(score.mean)} [{_percent(low)}, {_percent(high)}]"


def _optional(score: Score | None) -> str:
    return MISSING if score is None else _score(score)


def _over_seeds(row: Row) -> str:
    std = row.f1.std
    return "" if std is None else f" \u00b1 {_percent(std)} over {len(row.seeds)} seeds"


def _percent(value: float | None) -> str:
    return MISSING if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    if value is None:
        return MISSING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _timed(value: float | None, unit: str, row: Row) -> str:
    if value is None:
        return ELSEWHERE if row.cost.elsewhere else MISSING
    return f"{_number(value)} {unit}"


def _latency(row: Row) -> str:
    p50, p90 = row.cost.latency_p50, row.cost.latency_p90
    if p50 is None or p90 is None:
        return _timed(None, "s", row)
    if p90 < 1:
        return f"{_number(p50 * 1e3)} / {_number(p90 * 1e3)} ms"
    return f"{_number(p50)} / {_number(p90)} s"


def _tokens(row: Row) -> str:
    prompt, completion = row.cost.prompt_tokens, row.cost.completion_tokens
    if prompt is None or completion is None:
        return MISSING
    return _number(prompt + completion)


def _not_shown(row: Row) -> str:
    dropped, cut = row.cost.passages_dropped, row.cost.passages_cut
    if dropped is None or not _has_reader(row):
        return MISSING
    return f"{_number(dropped)} / {_number(cut)}"


def _memory(row: Row) -> str:
    size = row.cost.memory_bytes
    if size is None:
        return _timed(None, "", row)
    kind = markdown_text((row.cost.memory_kind or "").upper())
    return f"{size / 1e9:.2f} GB {kind}" if size >= 1e9 else f"{size / 1e6:.0f} MB {kind}"


def _storage(row: Row) -> str:
    own, shared = row.cost.storage_mb_per_1000, row.cost.storage_shared_mb
    if own is None:
        return MISSING
    return f"{_number(own)} (+ {_number(shared)} MB shared)" if shared else _number(own)
