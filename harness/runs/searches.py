"""Searches of a run that found nothing: the scores alone only look low."""

from __future__ import annotations

from pathlib import Path

from harness.retrieval.languages import spaceless
from harness.runs.manifest import read_manifest
from harness.runs.predictions import read_predictions, search_steps


def empty_searches(folder: Path) -> str | None:
    """One line if, for most questions that were searched for, nothing was found; else None."""
    searched, empty = 0, []
    for _, row in read_predictions(folder / "predictions.jsonl"):
        steps = search_steps(row)
        searched += bool(steps)
        if steps and not any(step["retrieved_ids"] for step in steps):
            empty.append([step["query"] for step in steps])
    if 2 * len(empty) <= searched:
        return None
    told = f"searches found nothing for {len(empty):,} of {searched:,} questions"
    likely = spaceless(query for queries in empty for query in queries)
    given = (read_manifest(folder).config.retriever or {}).get("language", "en")
    if likely is None or likely == given:
        return f"{told}: no passage shares a word with them; are they of the corpus's language?"
    return f"{told}, which have no spaces between words; give their language: -p language={likely}"
