"""Ranking by score: highest first, equal scores by corpus position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.records import Passage

if TYPE_CHECKING:
    from harness.data.corpus import Corpus

_BLOCK = 512


def top_positive(scores: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """Positions of the ``k`` highest scores above zero, best first, ties by position.

    ``scores`` has one entry a passage. Exact: the k-th highest of the block maxima can only be
    lower than the k-th highest score, so nothing that belongs to the answer is cut.
    """
    peaks = np.maximum.reduceat(scores, np.arange(0, len(scores), _BLOCK))
    floor = np.partition(peaks, -k)[-k] if 0 < k < len(peaks) else 0.0
    hits = np.flatnonzero(scores >= floor if floor > 0 else scores > 0)
    return hits[np.argsort(-scores[hits], kind="stable")][:k]


def with_scores(corpus: Corpus, positions: NDArray[Any], scores: NDArray[Any]) -> list[Passage]:
    """The passages at ``positions``, each with its score."""
    passages = (corpus[position] for position in positions.tolist())
    return [
        Passage(p.id, p.title, p.text, score)
        for p, score in zip(passages, scores.tolist(), strict=True)
    ]
