"""Statistics over questions. Every array holds one score a question, all rows the same questions.

``intervals`` of means, ``pairs`` of methods, the whole ``family`` of a table's rows with the
``ranks`` and letters that follow, its ``power``, and ``seeds``; ``crossing`` of two methods over
growing corpora; ``resampling`` draws for them.
"""

from harness.metrics.statistics.crossing import Crossing, crossing, crossing_points, resampled
from harness.metrics.statistics.family import (
    ALPHA,
    Family,
    Flips,
    average,
    compare_all,
    flip,
)
from harness.metrics.statistics.intervals import (
    Interval,
    average_ci,
    average_cis,
    difference_ci,
    loss_difference_ci,
    mean_cis,
    perplexity_difference_ci,
    proportion_ci,
)
from harness.metrics.statistics.pairs import (
    Pair,
    compare_pair,
    holm,
    mcnemar,
    paired_randomisation_test,
)
from harness.metrics.statistics.power import smallest_difference
from harness.metrics.statistics.ranks import letters, rank_intervals
from harness.metrics.statistics.seeds import hierarchical_ci

__all__ = [
    "ALPHA",
    "Crossing",
    "Family",
    "Flips",
    "Interval",
    "Pair",
    "average",
    "average_ci",
    "average_cis",
    "compare_all",
    "compare_pair",
    "crossing",
    "crossing_points",
    "difference_ci",
    "flip",
    "hierarchical_ci",
    "holm",
    "letters",
    "loss_difference_ci",
    "mcnemar",
    "mean_cis",
    "paired_randomisation_test",
    "perplexity_difference_ci",
    "proportion_ci",
    "rank_intervals",
    "resampled",
    "smallest_difference",
]
