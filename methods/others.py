"""Others: passages that were not found, drawn at random, for controls that read them instead."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from harness.records import Query


def others(
    ids: Sequence[str], found: Collection[str], most: int, seed: int, query: Query
) -> list[str]:
    """At most so many of ``ids`` that were not found, drawn by seed and question.

    If all were found, of all.
    """
    left = [id_ for id_ in ids if id_ not in found] or list(ids)
    source = random.Random(f"{seed} shuffled {query.id}")  # noqa: S311
    return source.sample(left, min(most, len(left)))
