"""Crossings: the size of a corpus from which on one method stays ahead of another, with interval.

Between sizes that were measured, the lead is taken to change linearly with the logarithm of the
size. The interval is a percentile bootstrap's over questions, the same ones at all sizes: a
resample in which the method is ahead at every size counts as a crossing below the smallest, one in
which it is not ahead at the largest as a crossing above that. So the ends may lie outside of what
was measured, and no resample is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import numpy.typing as npt

from harness.metrics.statistics.intervals import tail
from harness.metrics.statistics.resampling import CHUNK_CELLS, RESAMPLES, Floats

Statistic = Callable[..., Floats]
"""Takes an array and an axis, such as ``numpy.mean``."""

BELOW, ABOVE = -np.inf, np.inf


@dataclass(frozen=True, slots=True)
class Crossing:
    """From which size on one method is ahead: ``BELOW`` the smallest, ``ABOVE`` the largest.

    ``low`` and ``high`` are None where nothing was resampled, ``within`` is the share of resamples
    that cross between the smallest and the largest size. ``changes`` counts all changes of the
    lead in the sample, of which ``at`` is the last.
    """

    at: float
    low: float | None
    high: float | None
    within: float | None
    changes: int

    @property
    def is_within(self) -> bool:
        """Whether the sample has a crossing at all."""
        return bool(np.isfinite(self.at))


def crossing_points(sizes: npt.ArrayLike, leads: npt.ArrayLike) -> Floats:
    """The sizes (m,) from which on ``leads`` (m, s) at rising ``sizes`` (s,) stay above 0.

    BELOW where all of them are, ABOVE where the last is not.
    """
    places, lead = np.log(np.asarray(sizes, dtype=float)), np.asarray(leads, dtype=float)
    behind = lead <= 0
    last = lead.shape[1] - 1 - np.argmax(behind[:, ::-1], axis=1)
    rows, after = np.arange(len(lead)), np.minimum(last + 1, lead.shape[1] - 1)
    before, then = lead[rows, last], lead[rows, after]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(then > before, -before / (then - before), 0.0)
    found: Floats = np.exp(places[last] + share * (places[after] - places[last]))
    found[~behind.any(axis=1)] = BELOW
    found[behind[:, -1]] = ABOVE
    return found


def resampled(
    values: Sequence[npt.ArrayLike],
    statistic: Statistic,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Floats:
    """Statistics (m, resamples) of m arrays (k, n) over the same n questions, drawn alike for all.

    The k rows of an array are seeds; a statistic is over questions and seeds.
    """
    arrays = [np.asarray(each, dtype=float) for each in values]
    questions = arrays[0].shape[1]
    if any(each.ndim != 2 or each.shape[1] != questions for each in arrays) or not questions:
        raise ValueError("need arrays (seeds, questions) of the same questions, one or more")
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK_CELLS // (questions * max(len(each) for each in arrays)))
    parts = []
    for done in range(0, resamples, rows):
        drawn = rng.integers(0, questions, (min(rows, resamples - done), questions))
        parts.append(np.array([statistic(each[:, drawn], axis=(0, 2)) for each in arrays]))
    return np.concatenate(parts, axis=1)


def crossing(
    sizes: Sequence[float],
    leads: npt.ArrayLike,
    drawn: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> Crossing:
    """From which size on a method leads: ``leads`` (s,) of the sample, ``drawn`` (s, resamples)."""
    sample = np.asarray(leads, dtype=float)
    at = float(crossing_points(sizes, sample[np.newaxis])[0])
    signs = np.sign(sample)[np.sign(sample) != 0]
    changes = int((signs[1:] != signs[:-1]).sum())
    if drawn is None:
        return Crossing(at, None, None, None, changes)
    found = np.sort(crossing_points(sizes, np.asarray(drawn, dtype=float).T))
    last, cut = len(found) - 1, tail(level)
    # Order statistics: nothing lies between two infinite ends.
    low, high = found[floor(cut * last)], found[ceil((1 - cut) * last)]
    return Crossing(at, float(low), float(high), float(np.isfinite(found).mean()), changes)
