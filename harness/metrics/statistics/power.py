"""Power: the smallest difference that so many questions could have shown."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from harness.metrics.statistics.family import ALPHA, Family, Flips

POWER = 0.8


def smallest_difference(flips: Flips, family: Family, alpha: float = ALPHA) -> float | None:
    """The difference of two rows that the test of all pairs finds with a power of 80 %.

    For a pair whose differences spread as the median pair's do. None where no difference could be
    significant, however large: of fewer than two rows, and where chance alone gives the largest
    statistic there is too often (of 5 questions and fewer always).
    """
    n, m, normal = flips.questions, len(flips.means), NormalDist()
    # Rows that hardly differ have statistics too small for any that do.
    u = max(family.critical, normal.inv_cdf(1 - alpha / 2))
    if m < 2 or 2.0 ** (1 - n) > alpha or u**2 >= n * (1 - 1e-9):
        return None
    # The statistic as Student's: it is at most the root of n.
    critical = u * ((n - 1) / (n - u**2)) ** 0.5
    spread = float(np.median(np.sqrt(flips.variances[np.triu_indices(m, 1)])))
    return float((critical + normal.inv_cdf(POWER)) * spread)
