"""Searches of a run that found nothing: the scores alone only look low."""

from __future__ import annotations

from pathlib import Path

from harness.retrieval.languages import spaceless
from harness.runs.manifest import read_manifest
from harness.runs.predictions import read_predictions, search_steps


def empty_searches(folder: Path) -> str | None:
    """One line if, for most questions that were searched for, nothing was found; else None."""
    rows = read_predictions(folder / "predictions.jsonl")
    searched = [steps for _, row in rows if (steps := search_steps(row))]
    empty = [steps for steps in searched if not any(step["retrieved_ids"] for step in steps)]
    if 2 * len(empty) <= len(searched):
        return None
    told = f"searches found nothing for {len(empty):,} of {len(searched):,} questions"
    likely = spaceless(step["query"] for steps in empty for step in steps)
    given = (read_manifest(folder).config.retriever or {}).get("language", "en")
    if likely is None or likely == given:
        return f"{told}: no passage shares a word with them; are they of the corpus's language?"
    return f"{told}, which have no spaces between words; give their language: -p language={likely}"
