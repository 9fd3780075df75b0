"""Timing of a run: single queries one after the other, and whether they are answered alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.engine import Answered, Engine
from harness.errors import RunFailedError
from harness.method import Method
from harness.progress import bar
from harness.records import Prediction, Query
from harness.runs.directory import RunDirectory
from harness.runs.measuring import Measuring, in_order
from harness.runs.performance import Latency, update_performance
from harness.runs.predictions import read_predictions

if TYPE_CHECKING:
    from rich.console import Console

# Queries come one at a time, each with all its retries: a dead server takes minutes for every one.
LOST_LIMIT = 5


def time_queries(
    engine: Engine,
    method: Method,
    queries: Sequence[Query],
    run: RunDirectory,
    measuring: Measuring,
    *,
    device: str,
    label: str,
    console: Console,
    baseline: int | None = None,
) -> None:
    """Time single queries after a warm-up, and put it into performance.json and the manifest.

    One whose server failed is not timed; the next takes its place. ``baseline``: bytes in use
    before the method was opened. Raises RunFailedError if the server answers nothing any more, or
    if the method fails where it did not in the batches.
    """
    from harness.meters.latency import measure_closed_loop
    from harness.meters.prefix import ANEW, measure_prefix

    queries, count = _sound_first(run, in_order(queries)), min(measuring.queries, len(queries))
    warmup, again = min(measuring.warmup, count), measuring.again(count)
    with engine.llm.streaming():
        if warmup:
            with bar(console, f"{label}, warm-up", warmup) as shown:
                engine.run(method, queries[:warmup], _Patience(label, shown.advance))
        with bar(console, f"{label}, latency", count + sum(again)) as shown:
            latency, memory, answers = measure_closed_loop(
                engine,
                method,
                queries,
                count=count,
                again=again,
                device=device,
                on_answer=_Patience(label, shown.advance),
            )
    begun = {id_ for id_, single in answers.items() if single.usage.prefix_tokens}
    first = [query for query in queries if query.id in begun][:ANEW]
    prefix = {}
    if first:
        with bar(console, f"{label}, prefix read anew", len(first)) as shown:
            patience = _Patience(label, shown.advance)
            prefix = {"prefix": measure_prefix(engine, method, first, patience)}
    isolated = {"isolated": True} if measuring.alone else {}
    same = _same_as_batched(run, answers)
    record = Latency(**latency, warmup=warmup, same_as_batched=same, **isolated)
    if baseline is not None:
        memory["baseline_bytes"] = baseline
    # The protocol first: a run is measured once it has a latency.
    protocol = measuring.protocol(len(record.seconds), engine.llm.streamed)
    run.change_manifest(timing=protocol)
    update_performance(run.folder, latency=record, memory=memory, **prefix)


class _Patience:
    """Counts timed queries; stops when a server leaves one after the other unanswered."""

    def __init__(self, label: str, advance: Callable[[], None]) -> None:
        self.label, self.advance, self.lost = label, advance, 0

    def __call__(self, answered: Answered) -> None:
        if answered.unanswered is None:
            self.lost = 0
            self.advance()
            return
        self.lost += 1
        if self.lost >= LOST_LIMIT:
            raise RunFailedError(
                f"{self.label}: stopped while single queries were timed, {self.lost} in a row were "
                "left unanswered; see to the model's server and run again, all answers are kept; "
                f"the last: {answered.unanswered}"
            )


def _sound_first(run: RunDirectory, queries: Sequence[Query]) -> list[Query]:
    """The queries that were answered, then those that failed: their time is not an answer's."""
    rows = (row for _, row in read_predictions(run.predictions_path))
    failed = {row["question_id"] for row in rows if row["error"] is not None}
    return sorted(queries, key=lambda query: query.id in failed)


def _same_as_batched(run: RunDirectory, answers: Mapping[str, Prediction]) -> int:
    rows = (row for _, row in read_predictions(run.predictions_path))
    # Of the timed ones alone: a run may have more predictions than there is memory for.
    batched = {
        row["question_id"]: (row["answer"], row["error"])
        for row in rows
        if row["question_id"] in answers
    }
    for key, single in answers.items():
        if single.error and not batched[key][1]:
            raise RunFailedError(
                f"{run.folder}: question {key!r} was answered before but failed while it was timed "
                f"({single.error}); run again, all answers are kept"
            )
    return sum(batched[key][0] == single.answer for key, single in answers.items())
