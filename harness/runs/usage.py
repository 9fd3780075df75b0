"""Usage of a run: means per question over its predictions, and what in them calls for caution."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    """Means over the predictions of a file, one at a time. Raises InputError for a broken line.

    Failed questions are left out: what they would have taken is not known, and the call that failed
    stands in no trace.
    """
    means: dict[str, _Mean] = defaultdict(_Mean)
    counts: set[str] = set()
    for _, row in read_predictions(path):
        if row["error"] is not None:
            continue
        counts = counts or {*row["usage"], "passages_cut", "prefix_tokens"}
        for name in counts:
            means[name].add(row["usage"].get(name, 0))
        means["empty"].add(is_empty(row))
        means["cut_off"].add(is_cut_off(row))
    known = {name: mean.value for name, mean in means.items()}
    return Usage(**{k: v for k, v in known.items() if v or k != "prefix_tokens"})


@dataclass(slots=True)
class _Mean:
    """A mean of what is known; None as soon as one value is not."""

    total: float | None = 0.0
    count: int = 0

    def add(self, value: float | None) -> None:
        self.total = None if self.total is None or value is None else self.total + value
        self.count += 1

    @property
    def value(self) -> float | None:
        return None if self.total is None else self.total / self.count


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
    asked, failed, last = 0, 0, ""
    for _, row in read_predictions(folder / "predictions.jsonl"):
        asked += 1
        if row["error"] is not None:
            failed, last = failed + 1, row["error"]
    if failed:
        yield (
            f"{failed:,} of {asked:,} questions failed and count as wrong answers, the last with "
            f"{last}; --retry-errors asks them again"
        )
    if told := empty_searches(folder):
        yield told
    performance = read_performance(folder)
    if performance.storage is not None and (out := performance.storage.left_out):
        whole = performance.storage.documents + out
        yield f"the method's memory has no room for {out:,} of the corpus's {whole:,} documents"
    usage = performance.usage
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
