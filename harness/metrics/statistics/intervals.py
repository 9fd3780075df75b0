"""Confidence intervals of means of scores in [0, 1] that hold from the first question on.

Each bound is that of a Bayesian bootstrap to whose questions one more is added at the end of the
scale: 1 for the upper bound, 0 for the lower (Gaffke, 2005; Learned-Miller & Thomas,
arXiv:1905.06208). With scores of only 0 and 1 that is the exact interval of Clopper & Pearson
(1934); for many questions it is the ordinary bootstrap's. Nothing is drawn: the quantile of the
weighted mean comes from its saddlepoint approximation (Barndorff-Nielsen's r*, 1986).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.metrics.statistics.resampling import RESAMPLES, Floats, checked, drawn_sums

_STEPS = 60
_CLOSE = 1e-10
_LEAST = 0.05


class Interval(NamedTuple):
    """A confidence interval, in the unit of the scores."""

    low: float
    high: float


def proportion_ci(successes: float, n: int, level: float = 0.95) -> Interval:
    """The exact interval of a proportion (Clopper & Pearson, 1934)."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, not {successes} of {n}")
    count, deviate = np.array([float(successes)]), np.array([_deviate_of(level)])
    low, high = 1 - _exact_upper(n - count, n, deviate), _exact_upper(count, n, deviate)
    return _intervals(low, high)[0]


def mean_cis(values: npt.ArrayLike, level: float = 0.95) -> list[Interval]:
    """Intervals of the means of ``values`` (m, n) in [0, 1]; rows of only 0 and 1 exact."""
    scores = checked(values, 2)
    deviates = np.full(len(scores), _deviate_of(level))
    return _intervals(*mean_bounds(scores, deviates, deviates))


def average_cis(tasks: Sequence[npt.ArrayLike], level: float = 0.95) -> list[Interval]:
    """Intervals of the averages over ``tasks``, each (m, n) in [0, 1] with questions of its own.

    Each task gives way only by its share of the deviate, as it does where the whole is least likely
    by that much. Adding squared distances instead (MOVER) is right for normal means and too short
    where scores are rare: 93 % for an EM of 4 % on 4 x 6 questions.
    """
    scores = [checked(values, 2) for values in tasks]
    found = [np.array(mean_cis(rows, level)).reshape(-1, 2) for rows in scores]
    distances = [
        np.abs(f - s.mean(axis=1, keepdims=True)) for f, s in zip(found, scores, strict=True)
    ]
    whole = np.sqrt(sum(d**2 for d in distances))
    ends = []
    for rows, distance in zip(scores, distances, strict=True):
        share = np.divide(distance, whole, out=np.zeros_like(distance), where=whole > 0)
        deviates = np.maximum(_deviate_of(level) * share, _LEAST)
        ends.append(np.array(mean_bounds(rows, deviates[:, 0], deviates[:, 1])))
    low, high = np.mean(ends, axis=0)
    return _intervals(low, high)


def mean_bounds(scores: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Lower and upper bounds (m,) of the means of ``scores`` (m, n) at normal deviates (m,)."""
    if scores.size and (scores.min() < 0 or scores.max() > 1):
        raise ValueError("scores must lie in [0, 1]")
    binary = ((scores == 0) | (scores == 1)).all(axis=1)
    lower, upper = np.empty(len(scores)), np.empty(len(scores))
    successes, n, mixed = scores[binary].sum(axis=1), scores.shape[1], scores[~binary]
    lower[binary] = 1 - _exact_upper(n - successes, n, low[binary])
    upper[binary] = _exact_upper(successes, n, high[binary])
    lower[~binary] = 1 - _upper(1 - mixed, low[~binary])
    upper[~binary] = _upper(mixed, high[~binary])
    return lower, upper


def difference_ci(differences: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Interval of the mean of paired ``differences`` (n,) of scores, each in [-1, 1]."""
    low, high = mean_cis((checked(differences, 1)[np.newaxis] + 1) / 2, level)[0]
    return Interval(2 * low - 1, 2 * high - 1)


def average_ci(means: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Interval of the average of independent means (MOVER: Zou & Donner, 2008)."""
    count = len(means)
    centre = sum(means) / count
    pairs = list(zip(means, intervals, strict=True))
    below = sum((mean - interval.low) ** 2 for mean, interval in pairs) ** 0.5
    above = sum((interval.high - mean) ** 2 for mean, interval in pairs) ** 0.5
    return Interval(centre - below / count, centre + above / count)


def perplexity_difference_ci(
    nats_before: npt.ArrayLike,
    nats_after: npt.ArrayLike,
    tokens: npt.ArrayLike,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Paired percentile bootstrap interval of perplexity after minus before, over texts.

    Each (n,): negative log-likelihoods summed over a text's tokens, and how many these are. A
    resample's perplexity is exp(all nats / all tokens), as that of the sample.
    """
    before, after = np.exp(_drawn_losses(nats_before, nats_after, tokens, resamples, seed))
    return _middle(after - before, level)


def loss_difference_ci(
    nats_before: npt.ArrayLike,
    nats_after: npt.ArrayLike,
    tokens: npt.ArrayLike,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The like of the loss, all nats / all tokens, in nats a token."""
    before, after = _drawn_losses(nats_before, nats_after, tokens, resamples, seed)
    return _middle(after - before, level)


def tail(level: float) -> float:
    """The share that an interval leaves out at either end."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    return (1 - level) / 2


def _drawn_losses(
    before: npt.ArrayLike, after: npt.ArrayLike, tokens: npt.ArrayLike, resamples: int, seed: int
) -> Floats:
    """Nats a token [2, resamples] of texts drawn with replacement, before and after."""
    sums = drawn_sums(checked([before, after, tokens], 2), resamples, seed)
    losses: Floats = sums[:2] / sums[2]
    return losses


def _middle(values: Floats, level: float) -> Interval:
    cut = tail(level)
    low, high = np.quantile(values, [cut, 1 - cut])
    return Interval(float(low), float(high))


def _deviate_of(level: float) -> float:
    return NormalDist().inv_cdf(1 - tail(level))


def _intervals(low: Floats, high: Floats) -> list[Interval]:
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _exact_upper(successes: Floats, n: int, deviates: Floats) -> Floats:
    from scipy.special import betaincinv, ndtr

    # Without a failure the Beta distribution has no mass below 1.
    failures = np.maximum(n - successes, 1e-9)
    bounds: Floats = np.where(
        successes < n, betaincinv(successes + 1, failures, ndtr(deviates)), 1.0
    )
    return bounds


def _upper(scores: Floats, wanted: Floats) -> Floats:
    """Upper bounds (m,) at deviates ``wanted`` (m,) of the weighted mean with a further 1.

    Weights are exponential; ``P(sum of w (z - t) > 0)`` is a saddlepoint's, with the tilt written
    as ``u`` in (0, 1), which gives its threshold t at once. The root in logit(u) is found by regula
    falsi (Illinois).
    """
    # Distances to 1: near the end of the scale they keep the digits that 1 - z would lose.
    gaps = np.concatenate([1 - scores, np.zeros((len(scores), 1))], axis=1)

    def off(x: Floats) -> tuple[Floats, Floats]:
        deviate, bound = _deviate(gaps, x)
        return np.log(np.maximum(deviate, 1e-9) / wanted), bound

    left, right = _bracket(gaps, wanted, off)
    at_left, at_right = off(left)[0], off(right)[0]
    bound, before = np.ones(len(scores)), np.zeros(len(scores))
    searching = np.ones(len(scores), dtype=bool)
    for _ in range(_STEPS):
        x = (left * at_right - right * at_left) / (at_right - at_left)
        here, found = off(x)
        # A row's bound is the same whatever rows are beside it.
        bound = np.where(searching, found, bound)
        searching &= np.abs(here) >= _CLOSE
        if not searching.any():
            break
        above, again = here > 0, np.sign(here) == before
        # An end that stays a second time counts half, so that it moves, too.
        at_right = np.where(above, here, np.where(again, at_right / 2, at_right))
        at_left = np.where(above, np.where(again, at_left / 2, at_left), here)
        right, left = np.where(above, x, right), np.where(above, left, x)
        before = np.sign(here)
    return bound


def _bracket(
    gaps: Floats, wanted: Floats, off: Callable[[Floats], tuple[Floats, Floats]]
) -> tuple[Floats, Floats]:
    """Tilts (m,) on either side of the root, around that of a normal mean."""
    tilt = wanted / np.sqrt(gaps.var(axis=1) * gaps.shape[1])
    middle = np.log(tilt / (1 + tilt * (1 - gaps.mean(axis=1))))
    left, right = middle - 1, middle + 1
    for _ in range(_STEPS):
        low, high = off(left)[0] > 0, off(right)[0] < 0
        if not (low | high).any():
            break
        left, right = left - 2 * low, right + 2 * high
    return left, right


def _deviate(gaps: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Normal deviates r* (m,) of tilts ``x`` (m,), and the thresholds that these belong to."""
    u, rest = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    factors = u[:, np.newaxis] * gaps
    factors += rest[:, np.newaxis]
    inverse = 1 / factors
    scale = inverse.mean(axis=1)
    gap = np.einsum("mn,mn->m", gaps, inverse) / inverse.sum(axis=1)
    cumulant = -(np.log(factors).sum(axis=1) + gaps.shape[1] * np.log(scale))
    inverse *= gap[:, np.newaxis] - gaps
    curvature = np.einsum("mn,mn->m", inverse, inverse) / scale**2
    r = np.sqrt(np.maximum(-2 * cumulant, 1e-300))
    wald = u * scale * np.sqrt(curvature)
    # Of almost no tilt only rounding is left; the root is never there.
    return np.where(r > 1e-3, r + np.log(wald / r) / r, r), 1 - gap
