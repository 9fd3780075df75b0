"""Intervals and tests over questions: pure numpy, seeded, in bounded memory.

Every array holds one score per question. Methods are compared in pairs over the same questions,
by randomisation (Smucker et al., CIKM 2007), with Holm's correction over the printed family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 10_000
_CHUNK_CELLS = 1_000_000


class Interval(NamedTuple):
    """A confidence interval, in the unit of the scores."""

    low: float
    high: float


def bootstrap_ci(
    values: npt.ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of the mean of ``values`` (n,)."""
    return bootstrap_cis(_scores(values, 1)[np.newaxis], level, resamples, seed)[0]


def bootstrap_cis(
    values: npt.ArrayLike, level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """Percentile bootstrap intervals of the means of ``values`` (m, n), on shared resamples."""
    scores = _scores(values, 2)
    return _percentiles(_resampled_sums(scores, resamples, seed) / scores.shape[1], level)


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
    sums = _resampled_sums(_scores([nats_before, nats_after, tokens], 2), resamples, seed)
    before, after = np.exp(sums[:2] / sums[2])
    return _percentiles((after - before)[np.newaxis], level)[0]


def wilson_ci(successes: float, n: int, level: float = 0.95) -> Interval:
    """Wilson's interval of a proportion (Wilson, 1927); sound also when it is near 0 or 1."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, not {successes} of {n}")
    z2 = NormalDist().inv_cdf(1 - _tail(level)) ** 2
    centre = (successes + z2 / 2) / (n + z2)
    half = (z2 * (successes * (n - successes) / n + z2 / 4)) ** 0.5 / (n + z2)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def proportion_cis(values: npt.ArrayLike, level: float = 0.95) -> list[Interval]:
    """Wilson's intervals of the means of ``values`` (m, n), each 0, 1 or an average of such.

    For averages (over seeds) the interval is on the wide side.
    """
    rows = _scores(values, 2)
    return [wilson_ci(min(float(row.sum()), row.size), row.size, level) for row in rows]


def mean_cis(values: npt.ArrayLike, level: float = 0.95, seed: int = 0) -> list[Interval]:
    """Intervals of the means of ``values`` (m, n) in [0, 1]: Wilson's for rows of only 0 and 1.

    A bootstrap of equal values would claim a certainty that no sample gives.
    """
    scores = _scores(values, 2)
    binary = ((scores == 0) | (scores == 1)).all(axis=1)
    mixed = iter(bootstrap_cis(scores[~binary], level, seed=seed) if not binary.all() else ())
    return [
        wilson_ci(float(row.sum()), row.size, level) if is_binary else next(mixed)
        for row, is_binary in zip(scores, binary, strict=True)
    ]


def average_ci(means: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Interval of the average of independent means (MOVER: Zou & Donner, 2008)."""
    count = len(means)
    centre = sum(means) / count
    pairs = list(zip(means, intervals, strict=True))
    below = sum((mean - interval.low) ** 2 for mean, interval in pairs) ** 0.5
    above = sum((interval.high - mean) ** 2 for mean, interval in pairs) ** 0.5
    return Interval(centre - below / count, centre + above / count)


def paired_randomisation_test(
    a: npt.ArrayLike, b: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Two-sided p-value that ``a`` and ``b`` (n,), paired by question, have the same mean.

    Flips the signs of the differences at random; p = (as extreme + 1) / (resamples + 1).
    """
    first, second = _scores(a, 1), _scores(b, 1)
    if first.shape != second.shape:
        raise ValueError(f"not paired: {first.size} scores against {second.size}")
    return _sign_flip_tests((first - second)[np.newaxis], resamples, seed)[0]


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Holm, 1979), in the order given."""
    raw = np.asarray(pvalues, dtype=np.float64)
    if not ((raw >= 0) & (raw <= 1)).all():
        raise ValueError("p-values must lie in [0, 1]")
    order = np.argsort(raw, kind="stable")
    steps = np.maximum.accumulate(raw[order] * np.arange(raw.size, 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(p) for p in adjusted]


def versus_best(
    scores: Mapping[str, npt.ArrayLike], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float]:
    """Holm-adjusted p-value of each method against the one with the best mean, which gets 1.0.

    All arrays (n,) are over the same questions. Of equal means the first name is the best.
    """
    if not scores:
        return {}
    names = sorted(scores)
    sizes = {np.size(scores[name]) for name in names}
    if len(sizes) != 1:
        raise ValueError(f"not paired: arrays of {sorted(sizes)} scores")
    matrix = _scores([scores[name] for name in names], 2)
    best = int(np.argmax(matrix.mean(axis=1)))
    others = [i for i in range(len(names)) if i != best]
    adjusted = holm(_sign_flip_tests(matrix[best] - matrix[others], resamples, seed))
    return {names[best]: 1.0} | {names[i]: p for i, p in zip(others, adjusted, strict=True)}


def _resampled_sums(scores: Floats, resamples: int, seed: int) -> Floats:
    """Sums (m, resamples) of ``scores`` (m, n) over columns drawn with replacement."""
    n = scores.shape[1]

    def drawn_sums(rng: np.random.Generator, rows: int) -> Floats:
        drawn = rng.integers(0, n, (rows, n)) + np.arange(rows)[:, np.newaxis] * n
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        sums: Floats = scores @ counts.T.astype(np.float64)
        return sums

    return _resample(drawn_sums, n, resamples, seed)


def _percentiles(resampled: Floats, level: float) -> list[Interval]:
    tail = _tail(level)
    bounds = np.quantile(resampled, [tail, 1 - tail], axis=1)
    return [Interval(float(low), float(high)) for low, high in bounds.T]


def _sign_flip_tests(differences: Floats, resamples: int, seed: int) -> list[float]:
    n = differences.shape[1]
    totals = differences.sum(axis=1)

    def flipped(rng: np.random.Generator, rows: int) -> Floats:
        packed = rng.integers(0, 256, (rows, -(-n // 8)), dtype=np.uint8)
        kept = np.unpackbits(packed, axis=1, count=n).astype(np.float64)
        sums: Floats = 2 * (differences @ kept.T) - totals[:, np.newaxis]
        return sums

    # Sums of the same numbers in another order may differ in the last bits: those are ties.
    slack = 1e-12 * np.abs(differences).sum(axis=1)
    extreme = np.abs(_resample(flipped, n, resamples, seed)) >= (np.abs(totals) - slack)[:, None]
    return [float(p) for p in (extreme.sum(axis=1) + 1) / (resamples + 1)]


def _resample(
    draw: Callable[[np.random.Generator, int], Floats], n: int, resamples: int, seed: int
) -> Floats:
    """Concatenate ``resamples`` draws, (m, resamples), made in chunks that fit in memory."""
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    rng = np.random.default_rng(seed)
    rows = max(1, _CHUNK_CELLS // n)
    parts = [draw(rng, min(rows, resamples - done)) for done in range(0, resamples, rows)]
    return np.concatenate(parts, axis=1)


def _scores(values: Any, dimensions: int) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != dimensions or scores.shape[-1] == 0 or not np.isfinite(scores).all():
        raise ValueError(f"need a non-empty {dimensions}-dimensional array of finite scores")
    return scores


def _tail(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    return (1 - level) / 2
