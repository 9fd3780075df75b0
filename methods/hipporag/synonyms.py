"""Synonyms: phrases whose vectors are near each other, and the phrase that is nearest to a name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from harness.retrieval.encoders import Encoder

Vectors = NDArray[np.float32]

MOST = 100
"""Synonyms of one phrase, as in the official code."""
BLOCK = 1024
"""Phrases that are compared with all others at once; bounds memory, changes no result."""


def encode(encoder: Encoder, phrases: Sequence[str]) -> Vectors:
    """Unit vectors [phrases, dimensions]."""
    if not phrases:
        return np.zeros((0, encoder.dimensions), np.float32)
    vectors = encoder.encode_passages(phrases)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit


def synonyms(
    phrases: Sequence[str], vectors: Vectors, threshold: float
) -> Iterator[tuple[str, str, float]]:
    """Pairs of phrases whose cosine is at least ``threshold``, with it; each pair once.

    Phrases of at most two letters and digits have none, as in the official code.
    """
    long = [n for n, phrase in enumerate(phrases) if len(re.sub(r"\W", "", phrase)) > 2]
    seen: set[tuple[int, int]] = set()
    for first in range(0, len(long), BLOCK):
        rows = long[first : first + BLOCK]
        cosines = vectors[rows] @ vectors.T
        for row, near in zip(rows, cosines, strict=True):
            near[row] = -1
            places = np.flatnonzero(near >= threshold)
            best = places[np.argsort(-near[places], kind="stable")][:MOST]
            for place in map(int, best):
                pair = (min(row, place), max(row, place))
                if pair not in seen:
                    seen.add(pair)
                    yield phrases[pair[0]], phrases[pair[1]], round(float(near[place]), 4)


def nearest(vectors: Vectors, named: Vectors) -> list[int]:
    """Of every named vector [names, dimensions] the place of the nearest phrase."""
    return [int(place) for place in np.argmax(named @ vectors.T, axis=1)] if len(vectors) else []
