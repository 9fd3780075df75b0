"""Columns of a page's tables: what each is called, means and shows of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from harness.metrics import is_added
from leaderboards.rows import Row, Score

Group = Literal["Quality", "Retrieval", "Speed", "Usage", "Space", "Mishaps", "Setup"]
Value = float | Score | str | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``best`` tells which end is good, ``essential`` that it is always worth seeing.

    ``unit`` decides how numbers are written: ``%`` of fractions, ``s``, ``B`` (bytes), ``MB``,
    ``n`` (counts), ``text``, or none.
    """

    key: str
    label: str
    group: Group
    unit: Literal["%", "s", "B", "MB", "n", "text", ""]
    help: str
    value: Callable[[Row], Value]
    best: Literal["high", "low", ""] = ""
    essential: bool = False

    def about(self) -> dict[str, Any]:
        """What a page holds of it."""
        names = ("label", "group", "unit", "help", "best", "essential")
        return {name: getattr(self, name) for name in names}


def cell(value: Value) -> Any:
    """A value as a page holds it: a score as ``[mean, low, high]``, with the std over seeds."""
    if not isinstance(value, Score):
        return value
    score = [value.mean, value.interval.low, value.interval.high]
    return score if value.std is None else [*score, value.std]


def columns_of(rows: Sequence[Row], k: int) -> list[Column]:
    """The columns in which any row has a value, in order."""
    every = [*_quality(), *_retrieval(k), *_added(rows), *_costs(), *_mishaps()]
    return [column for column in every if any(column.value(row) is not None for row in rows)]


def _quality() -> Iterator[Column]:
    yield Column(
        "f1", "F1", "Quality", "%",
        "Overlap of the words of the answer and of the best golden answer, averaged over the "
        "questions, in percent; in brackets the 95% confidence interval over questions. A bold "
        "value is not significantly below the best of its table.",
        lambda row: row.f1, "high", True,
    )  # fmt: skip
    yield Column(
        "em", "EM", "Quality", "%",
        "Exact match: the share of questions whose answer is one of the golden answers after both "
        "lose case, punctuation and articles; in brackets the 95% confidence interval.",
        lambda row: row.em, "high", True,
    )  # fmt: skip
    yield Column(
        "contains", "Contains", "Quality", "%",
        "The share of questions whose answer holds a golden answer anywhere in it.",
        _mean("contains"), "high",
    )  # fmt: skip
    yield Column(
        "p_value", "p vs best", "Quality", "",
        "p-value of the difference in F1 to the best method of the table, adjusted for the number "
        "of methods; a method that is shown gold takes no part.",
        lambda row: row.p_value,
    )  # fmt: skip


def _retrieval(k: int) -> Iterator[Column]:
    yield Column(
        "recall", f"Recall@{k}", "Retrieval", "%",
        f"The share of a question's gold documents among the first {k} that were ranked, whether "
        "they were read or not; where any gold document gives the answer, whether one was found.",
        lambda row: row.recall, "high", True,
    )  # fmt: skip
    yield Column(
        "all_gold", f"All-gold@{k}", "Retrieval", "%",
        f"The share of questions all of whose gold documents are among the first {k}: what "
        "several hops need.",
        lambda row: row.all_gold, "high",
    )  # fmt: skip
    yield Column(
        "hit", f"Hit@{k}", "Retrieval", "%",
        f"The share of questions with at least one gold document among the first {k}.",
        _mean(f"hit@{k}"), "high",
    )  # fmt: skip
    yield Column(
        "recall_read", "Recall read", "Retrieval", "%",
        "The share of a question's gold documents among those that the model was shown.",
        lambda row: row.recall_read, "high",
    )  # fmt: skip
    yield Column(
        "retrieved", "Retrieved", "Retrieval", "%",
        "The share of questions for which anything was retrieved.",
        _mean("retrieved"),
    )  # fmt: skip


def _added(rows: Sequence[Row]) -> Iterator[Column]:
    for name in sorted({name for row in rows for name in row.means if is_added(name)}):
        yield Column(
            f"added:{name}", name, "Quality", "%",
            f"{name}, a score that the task adds to those of every task, averaged over the "
            "questions.",
            _mean(name), "high",
        )  # fmt: skip


def _costs() -> Iterator[Column]:
    yield Column(
        "latency_p50", "Latency p50", "Speed", "s",
        "Median time from a question to its answer, one question at a time, warm. Only rows timed "
        "on the same hardware are compared; others show no time.",
        lambda row: row.cost.latency_p50, "low", True,
    )  # fmt: skip
    yield Column(
        "latency_p90", "Latency p90", "Speed", "s",
        "The time within which nine of ten questions were answered, one at a time.",
        lambda row: row.cost.latency_p90, "low",
    )  # fmt: skip
    yield Column(
        "latency_queries", "Timed", "Speed", "n",
        "The number of questions whose latency was measured; few give a rough latency.",
        lambda row: row.cost.latency_queries or None,
    )  # fmt: skip
    yield Column(
        "throughput", "Questions/s", "Speed", "",
        "Questions answered a second when they are batched.",
        lambda row: row.cost.throughput, "high",
    )  # fmt: skip
    yield Column(
        "tokens", "Tokens/q", "Usage", "",
        "Tokens that the model read and wrote for a question, on average, over all of its calls.",
        tokens, "low", True,
    )  # fmt: skip
    yield Column(
        "prompt_tokens", "Prompt tokens/q", "Usage", "",
        "Tokens that the model read for a question, on average.",
        lambda row: row.cost.prompt_tokens, "low",
    )  # fmt: skip
    yield Column(
        "completion_tokens", "Completion tokens/q", "Usage", "",
        "Tokens that the model wrote for a question, on average.",
        lambda row: row.cost.completion_tokens, "low",
    )  # fmt: skip
    yield Column(
        "llm_calls", "Calls/q", "Usage", "",
        "Calls of the language model for a question, on average.",
        lambda row: row.cost.llm_calls, "low", True,
    )  # fmt: skip
    yield Column(
        "retrievals", "Searches/q", "Usage", "",
        "Searches for a question, on average.",
        lambda row: row.cost.retrievals, "low",
    )  # fmt: skip
    yield Column(
        "passages_dropped", "Dropped/q", "Usage", "",
        "Passages that did not fit into a prompt, for a question on average.",
        lambda row: row.cost.passages_dropped, "low",
    )  # fmt: skip
    yield Column(
        "passages_cut", "Cut/q", "Usage", "",
        "Passages of which only a part fitted into a prompt, for a question on average.",
        lambda row: row.cost.passages_cut, "low",
    )  # fmt: skip
    yield Column(
        "storage", "Storage/1k docs", "Space", "MB",
        "What a method keeps on disk for 1,000 documents, in MB (10^6 bytes), without what does "
        "not grow with them.",
        lambda row: row.cost.storage_mb_per_1000, "low", True,
    )  # fmt: skip
    yield Column(
        "storage_shared", "Shared storage", "Space", "MB",
        "What a method keeps on disk once, however many documents there are, in MB.",
        lambda row: row.cost.storage_shared_mb, "low",
    )  # fmt: skip
    yield Column(
        "memory", "Memory peak", "Space", "B",
        "The most memory in use while answering: of the process, or of the accelerator where the "
        "model runs on one.",
        lambda row: row.cost.memory_bytes, "low",
    )  # fmt: skip


def _mishaps() -> Iterator[Column]:
    yield Column(
        "errors", "Errors", "Mishaps", "n",
        "Questions at which the method failed; they count as wrong.",
        lambda row: row.errors, "low",
    )  # fmt: skip
    yield Column(
        "unanswered", "Unanswered", "Mishaps", "n",
        "Questions that the model's server left unanswered; no row of the table counts them.",
        lambda row: row.unanswered, "low",
    )  # fmt: skip
    yield Column(
        "retries", "Retries", "Mishaps", "n",
        "Requests that were sent again because a server failed.",
        lambda row: row.retries, "low",
    )  # fmt: skip
    yield Column(
        "empty", "Empty", "Mishaps", "%",
        "The share of questions with an empty reply or an empty answer.",
        lambda row: row.cost.empty, "low",
    )  # fmt: skip
    yield Column(
        "cut_off", "Cut off", "Mishaps", "%",
        "The share of questions whose last reply was ended by the limit of tokens.",
        lambda row: row.cost.cut_off, "low",
    )  # fmt: skip
    yield Column(
        "seeds", "Seeds", "Setup", "text",
        "The seeds of samples and demonstrations; several seeds of a method are one row.",
        lambda row: ", ".join(map(str, row.seeds)),
    )  # fmt: skip


def tokens(row: Row) -> float | None:
    """Tokens read and written for a question; None if either is not known."""
    read, written = row.cost.prompt_tokens, row.cost.completion_tokens
    return None if read is None or written is None else read + written


def _mean(name: str) -> Callable[[Row], float | None]:
    return lambda row: row.means.get(name)


def glossary(columns: Mapping[str, Column]) -> dict[str, dict[str, Any]]:
    """What a page says of each of its columns, group by group."""
    groups = get_args(Group)
    ordered = sorted(columns.values(), key=lambda column: groups.index(column.group))
    return {column.key: column.about() for column in ordered}
