"""Ranks and letters of rows, from the pairs of them that differ."""

from __future__ import annotations

from string import ascii_lowercase

import numpy as np

from harness.metrics.statistics.family import ALPHA, Family
from harness.metrics.statistics.resampling import Floats


def rank_intervals(family: Family, means: Floats, alpha: float = ALPHA) -> list[tuple[int, int]]:
    """First and last place (1 is the best) that each row may have, all rows together at 1 - alpha.

    A row is behind every one that is significantly better and before every one that is worse
    (Mogstad, Romano, Shaikh & Wilhelm, 2024). One that is significantly not the best is not first.
    """
    differ = family.pairs <= alpha
    higher = means[np.newaxis, :] > means[:, np.newaxis]
    better, worse = (differ & higher).sum(axis=1), (differ & ~higher).sum(axis=1)
    not_first = family.best <= alpha
    return [
        (int(max(1 + ahead, 2 if late else 1)), int(len(means) - behind))
        for ahead, behind, late in zip(better, worse, not_first, strict=True)
    ]


def letters(family: Family, means: Floats, alpha: float = ALPHA) -> list[str]:
    """Compact letters (Piepho, 2004): rows that share one do not differ significantly.

    ``a`` is the letter of the best.
    """
    order = sorted(range(len(means)), key=lambda row: -means[row])
    groups = [frozenset(order)]
    for place, one in enumerate(order):
        for other in order[place + 1 :]:
            if family.pairs[one, other] <= alpha:
                groups = _split(groups, one, other)
    place_of = {row: place for place, row in enumerate(order)}
    ranked = sorted(groups, key=lambda group: sorted(place_of[row] for row in group))
    return [
        "".join(_letter(number) for number, group in enumerate(ranked) if row in group)
        for row in range(len(means))
    ]


def _split(groups: list[frozenset[int]], one: int, other: int) -> list[frozenset[int]]:
    """Part the groups that hold both rows; a group within another one tells nothing."""
    parted = [
        part
        for group in groups
        for part in ((group - {one}, group - {other}) if {one, other} <= group else (group,))
    ]
    unique = list(dict.fromkeys(parted))
    return [group for group in unique if not any(group < larger for larger in unique)]


def _letter(number: int) -> str:
    """``a`` to ``z``, then ``a1`` to ``z1`` and so on."""
    round_, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(round_) if round_ else "")
