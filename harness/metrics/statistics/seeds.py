"""Seeds: how far a mean may lie from that of all seeds and all questions."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import stdev

from harness.metrics.statistics.intervals import Interval, tail


def hierarchical_ci(
    questions: Interval,
    seed_means: Sequence[float],
    level: float = 0.95,
    scale: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Interval over questions and seeds of the mean of ``seed_means``, each over all questions.

    ``questions`` is the interval of that mean over questions alone, which all seeds share. Seeds
    are a second level within the method; two or three have too few resamples (3 or 10) to stand for
    others, so theirs is Student's interval, and the two are joined as independent (MOVER).
    ``scale`` is what means lie in.
    """
    count = len(seed_means)
    if count < 2:
        return questions
    from scipy.special import stdtrit

    mean = sum(seed_means) / count
    half = float(stdtrit(count - 1, 1 - tail(level))) * stdev(seed_means) / count**0.5
    low = mean - ((mean - questions.low) ** 2 + half**2) ** 0.5
    high = mean + ((questions.high - mean) ** 2 + half**2) ** 0.5
    return Interval(max(scale[0], low), min(scale[1], high))
