"""Usage of a run: means per question over its predictions, and what in them calls for caution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.runs.performance import Usage, read_performance
from harness.runs.predictions import read_predictions
from harness.runs.searches import empty_searches
from harness.runs.unanswered import read_unanswered

MANY = 0.1
"""Share of the questions from which on a doubt is told aloud: one in ten. That many answers lost
can move EM by ten points, more than a 95 % interval over 100 questions or more is wide to one
side, so that they alone could decide a comparison."""


def mean_usage(path: Path) -> Usage:
    """Means over the predictions of a file. Raises InputError for a broken line."""
    sums: dict[str, float | None] = {}
    count = 0
    for count, (_, row) in enumerate(read_predictions(path), start=1):
        used = {
            "passages_cut": 0,
            **row["usage"],
            "empty": is_empty(row),
            "cut_off": is_cut_off(row),
        }
        sums = sums or dict.fromkeys(used, 0)
        # One that nobody knows makes the mean unknown.
        for name, total in sums.items():
            more = used.get(name, 0)
            sums[name] = None if total is None or more is None else total + more
    return Usage(**{name: None if t is None else t / count for name, t in sums.items()})


def is_empty(row: Mapping[str, Any]) -> bool:
    """Whether the answer, the first or the last reply is empty, though nothing failed.

    An empty reply in between is how a chain of thought may end, as IRCoT's do.
    """
    if row["error"] is not None:
        return False
    replies = [step["reply"] for step in _generations(row)]
    return not all(text.strip() for text in (row["answer"], *replies[:1], *replies[-1:]))


def is_cut_off(row: Mapping[str, Any]) -> bool:
    """Whether the token limit ended the last reply; earlier ones may be longer than is used."""
    return any(step.get("cut_off", False) for step in _generations(row)[-1:])


def cautions(folder: Path) -> Iterator[str]:
    """What the user of a run that has ended should know before its scores; one line each."""
    unanswered = read_unanswered(folder)
    if unanswered:
        yield (
            f"questions left unanswered by the model's server: {len(unanswered):,}; running the "
            f"same board again asks them again; the last: {list(unanswered.values())[-1]}"
        )
    answers = failed = 0
    last = ""
    for answers, (_, row) in enumerate(read_predictions(folder / "predictions.jsonl"), start=1):
        if row["error"] is not None:
            failed, last = failed + 1, row["error"]
    if failed:
        yield (
            f"{failed:,} of {answers:,} questions failed and count as wrong answers, the last with "
            f"{last}; --retry-errors asks them again"
        )
    if told := empty_searches(folder):
        yield told
    usage = read_performance(folder).usage
    if usage is not None and (usage.empty or 0) >= MANY:
        yield (
            f"{_percent(usage.empty)} of the questions got an empty reply or have an empty answer; "
            "'memory-harness show' tells what the model was asked and wrote"
        )
    if usage is not None and (usage.cut_off or 0) >= MANY:
        yield (
            f"{_percent(usage.cut_off)} of the questions have a last reply that the token limit "
            "cut off; raise the method's max_tokens, or switch off the model's thinking"
        )


def _generations(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [step for step in row["steps"] if step["kind"] == "generate"]


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0):.0f} %"
