"""All rows of a table compared with each other: which may be the best, which pairs differ.

Every pair's statistic is its summed difference over the root of the summed squares, and the largest
of all pairs is compared with what it is under random signs, one a question for all rows together
(max-T: Westfall & Young, 1993). That covers the choice of the pair that looks most different, as
Tukey's range does (randomised for retrieval: Carterette, TOIS 2012), but it neither mixes rows that
are spread differently nor lets a bad row widen the range for good ones.

- ``pairs``, stepped down from the largest statistic: at most alpha that any pair without a
  difference is called different, whichever others differ.
- ``best``, a model confidence set (Hansen, Lunde & Nason, 2011): the loser of the largest statistic
  leaves, and the rows that stay are tested again. At most alpha that any row leaves that no other
  row is better than.

Both hold exactly where the differences of the rows are symmetric together, and for many questions
whatever they are (README.md has the simulation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness.metrics.statistics.pairs import TIE
from harness.metrics.statistics.resampling import (
    RESAMPLES,
    Floats,
    checked,
    chunks,
    flipped_sums,
)

ALPHA = 0.05
_Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Flips:
    """Rows (m, ...) over the same questions, and their means under random signs.

    ``flipped`` (m, draws), the sample itself first. Of each pair (m, m): ``squares`` is the summed
    square of the differences over n squared, ``variances`` the variance of the mean difference if
    one more question told them fully apart: few questions, or few that differ, show little spread.
    """

    questions: int
    flipped: Floats
    squares: Floats
    variances: Floats

    @property
    def means(self) -> Floats:
        """Means (m,) over the questions, less the mean of all rows."""
        return self.flipped[:, 0]

    @property
    def exhausted(self) -> bool:
        """Whether these are all sign vectors, not a sample of them."""
        return bool(self.flipped.shape[1] == 1 << self.questions)

    def of(self, rows: Sequence[int]) -> Flips:
        """The same draws of some of the rows."""
        both = np.ix_(rows, rows)
        return replace(
            self,
            flipped=self.flipped[list(rows)],
            squares=self.squares[both],
            variances=self.variances[both],
        )


@dataclass(frozen=True, slots=True)
class Family:
    """Adjusted p-values: of each pair (m, m), 1 on the diagonal, and of being the best (m,).

    ``critical`` is the largest statistic over all pairs that chance exceeds in no more than a share
    alpha of the draws: what a pair must exceed to be told apart on the first step.
    """

    pairs: Floats
    best: Floats
    critical: float


def flip(
    scores: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0, *, exhaust: bool = True
) -> Flips:
    """Draw signs for ``scores`` (m, n), all rows over the same questions.

    ``exhaust``: of few questions every sign vector once instead, which makes p-values exact.
    """
    rows = checked(scores, 2)
    n = rows.shape[1]
    # What all rows share cancels in every pair; without it sums are small and exact.
    rows = rows - rows.mean(axis=0)
    products = rows @ rows.T
    own = np.diag(products)
    squares = np.maximum(own[:, np.newaxis] + own - 2 * products, 0)
    # Of equal rows rounding alone is left.
    squares[squares <= 1e-12 * (own[:, np.newaxis] + own)] = 0
    flipped = flipped_sums(rows, resamples, seed, exhaust=exhaust) / n
    gaps = flipped[:, :1] - flipped[:, 0]
    spread = np.maximum(squares - n * gaps**2, 0)
    return Flips(n, flipped, squares / n**2, (spread + 1) / (n * max(1, n - 1)))


def average(parts: Sequence[Flips]) -> Flips:
    """The average over tasks, each of the same rows, drawn as often, and with signs of its own."""
    count = len(parts)
    return Flips(
        sum(part.questions for part in parts),
        sum((part.flipped for part in parts[1:]), parts[0].flipped) / count,
        sum((part.squares for part in parts[1:]), parts[0].squares) / count**2,
        sum((part.variances for part in parts[1:]), parts[0].variances) / count**2,
    )


def compare_all(flips: Flips, alpha: float = ALPHA) -> Family:
    """Test all pairs, and each row for being the best."""
    m, means = len(flips.means), flips.means
    pairs, best = np.ones((m, m)), np.ones(m)
    if m < 2:
        return Family(pairs, best, 0.0)
    first, second = np.triu_indices(m, 1)
    norms = np.sqrt(flips.squares[first, second])
    observed = _statistics(flips.flipped[:, :1], first, second, norms)[:, 0]
    order = np.argsort(-observed, kind="stable")
    stepped, largest = _step_down(flips, first[order], second[order], norms[order])
    stepped = np.maximum.accumulate(stepped)
    pairs[first[order], second[order]] = pairs[second[order], first[order]] = stepped
    leaving, steps = _eliminate(observed, first, second, means)
    order = np.argsort(steps, kind="stable")
    stepped, _ = _step_down(flips, first[order], second[order], norms[order])
    starts = np.searchsorted(steps[order], np.arange(m - 1))
    best[leaving] = np.maximum.accumulate(stepped[starts])
    beyond = int(alpha * largest.size)
    return Family(pairs, best, float(np.sort(largest)[::-1][beyond]))


def _statistics(flipped: Floats, first: _Ints, second: _Ints, norms: Floats) -> Floats:
    """Statistics (pairs, draws); 0 for pairs that are equal on every question."""
    gaps = np.abs(flipped[first] - flipped[second])
    gaps *= np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)[:, np.newaxis]
    return gaps


def _step_down(flips: Flips, first: _Ints, second: _Ints, norms: Floats) -> tuple[Floats, Floats]:
    """For each pair the share of draws in which it or a later one is as large as the largest of
    these is; and the largest of all pairs in each draw."""
    draws = flips.flipped.shape[1]
    counts, largest = np.zeros(first.size, dtype=np.int64), np.empty(draws)
    observed: Floats | None = None
    for part in chunks(draws, first.size):
        drawn = _statistics(flips.flipped[:, part], first, second, norms)
        from_last = drawn[::-1]
        np.maximum.accumulate(from_last, axis=0, out=from_last)
        observed = drawn[:, :1].copy() if observed is None else observed
        counts += (drawn >= observed - TIE).sum(axis=1)
        largest[part] = drawn[0]
    return counts / draws, largest


def _eliminate(
    observed: Floats, first: _Ints, second: _Ints, means: Floats
) -> tuple[list[int], _Ints]:
    """Rows in the order in which they leave, and the step (pairs,) at which each pair does."""
    loser = np.where(means[first] < means[second], first, second)
    steps, leaving = np.full(first.size, -1, dtype=np.intp), []
    for step in range(len(means) - 1):
        there = np.flatnonzero(steps < 0)
        out = int(loser[there[np.argmax(observed[there])]])
        leaving.append(out)
        steps[there[(first[there] == out) | (second[there] == out)]] = step
    return leaving, steps
