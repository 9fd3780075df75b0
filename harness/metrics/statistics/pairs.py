"""Two methods over the same questions: p-values, effect sizes, who won how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.metrics.statistics.intervals import Interval, difference_ci
from harness.metrics.statistics.resampling import RESAMPLES, Floats, checked, flipped_sums

TIE = 1e-9
"""Sums of the same numbers in another order differ in the last bits: that much of their norm."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What questions say of ``second`` minus ``first``.

    ``effect`` is the mean difference over the standard deviation of the differences (Cohen's d_z;
    None if all differ alike), ``superiority`` the share of questions that the second wins, ties
    counted half. ``test`` names the test of ``p_value``.
    """

    questions: int
    difference: float
    interval: Interval
    p_value: float
    test: str
    effect: float | None
    superiority: float
    won: int
    lost: int


def compare_pair(
    first: npt.ArrayLike, second: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0
) -> Pair:
    """Compare two arrays (n,) in [0, 1], paired by question.

    Scores of only 0 and 1 (EM of one seed) are tested by McNemar's exact test, others by the paired
    randomisation test.
    """
    a, b = _paired(first, second)
    differences = b - a
    binary = bool(np.isin(differences, (-1, 0, 1)).all() and np.isin(a, (0, 1)).all())
    won, lost = int((differences > 0).sum()), int((differences < 0).sum())
    spread = float(differences.std(ddof=1)) if differences.size > 1 else 0.0
    return Pair(
        questions=differences.size,
        difference=float(differences.mean()),
        interval=difference_ci(differences),
        p_value=mcnemar(won, lost)
        if binary
        else paired_randomisation_test(a, b, resamples=resamples, seed=seed),
        test="McNemar" if binary else "randomisation",
        effect=float(differences.mean()) / spread if spread > 0 else None,
        superiority=(won + (differences.size - won - lost) / 2) / differences.size,
        won=won,
        lost=lost,
    )


def paired_randomisation_test(
    a: npt.ArrayLike, b: npt.ArrayLike, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Two-sided p-value that ``a`` and ``b`` (n,), paired by question, have the same mean.

    The share of sign vectors, the sample's own among them, under which the differences sum to as
    much (Smucker et al., CIKM 2007); exact where all of them can be tried (13 questions).
    """
    first, second = _paired(a, b)
    differences = (first - second)[np.newaxis]
    sums = np.abs(flipped_sums(differences, resamples, seed)[0])
    slack = TIE * float(np.linalg.norm(differences))
    return float((sums >= sums[0] - slack).mean())


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided p-value of McNemar's test: as many wins as losses (a sign test of these)."""
    if min(won, lost) < 0:
        raise ValueError(f"need counts, not {won} and {lost}")
    total, fewer = won + lost, min(won, lost)
    term = ways = 1
    for i in range(fewer):
        term = term * (total - i) // (i + 1)
        ways += term
    return float(min(1.0, 2 * ways / 2**total))


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


def _paired(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Floats, Floats]:
    first, second = checked(a, 1), checked(b, 1)
    if first.shape != second.shape:
        raise ValueError(f"not paired: {first.size} scores against {second.size}")
    return first, second
