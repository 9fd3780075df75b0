"""Searches of a run that found nothing: the scores alone only look low."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from harness.retrieval.languages import spaceless
from harness.runs.manifest import read_manifest
from harness.runs.predictions import read_predictions, search_steps

Steps = Sequence[Mapping[str, Any]]

# Enough to tell their language by.
_QUESTIONS = 1_000


def empty_searches(folder: Path) -> str | None:
    """One line if, for most questions that were searched for, nothing was found; else None."""
    counts = Counter(map(_is_empty, _searches(folder)))
    if counts[True] <= counts[False]:
        return None
    told = f"searches found nothing for {counts[True]:,} of {counts.total():,} questions"
    empty = islice(filter(_is_empty, _searches(folder)), _QUESTIONS)
    likely = spaceless(step["query"] for steps in empty for step in steps)
    given = (read_manifest(folder).config.retriever or {}).get("language", "en")
    if likely is None or likely == given:
        return f"{told}: no passage shares a word with them; are they of the corpus's language?"
    return f"{told}, which have no spaces between words; give their language: -p language={likely}"


def _searches(folder: Path) -> Iterator[Steps]:
    """The searches of every question that was searched for."""
    rows = read_predictions(folder / "predictions.jsonl")
    return (steps for _, row in rows if (steps := search_steps(row)))


def _is_empty(steps: Steps) -> bool:
    return not any(step["retrieved_ids"] for step in steps)
