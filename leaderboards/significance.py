"""The words under a table on what its numbers can tell, as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.statistics import ALPHA
from leaderboards.rows import Row

_LEVEL = f"{100 * (1 - ALPHA):.0f} %"


def significance(
    rows: Sequence[Row], questions: int, smallest_difference: float | None
) -> tuple[str, ...]:
    """What intervals, bold and \u00b1 promise, and what so many questions could have shown."""
    return tuple(filter(None, (_promises(rows), _power(rows, questions, smallest_difference))))


def _promises(rows: Sequence[Row]) -> str:
    text = f"Intervals are {_LEVEL} over questions."
    if any(row.f1.std is not None for row in rows):
        text += (
            " \u00b1: standard deviation over seeds; the interval of such a row is over questions "
            "and seeds, bold and ranks are of these seeds."
        )
    if len(_compared(rows)) > 1:
        text += (
            " Bold: rows that may have the best F1, since no row is significantly better. All rows "
            f"are tested together: with {_LEVEL} none that is as good as the best loses its bold."
        )
    if any(row.oracle for row in rows):
        text += " \u2020oracle: is shown gold, so it takes no part in the comparison."
    return text


def _power(rows: Sequence[Row], questions: int, smallest: float | None) -> str:
    if len(_compared(rows)) < 2:
        return ""
    asked = f"{questions:,} question{'' if questions == 1 else 's'}"
    if smallest is None:
        return f"No result: {asked} cannot tell rows apart in F1, however far apart they look."
    if smallest >= 1:
        return f"No result: {asked} cannot be relied on to show any difference in F1."
    return (
        f"Power: {asked} show a difference of {100 * smallest:.1f} points of F1 between two of "
        "these rows in 80 % of cases; a smaller one may be there unseen."
    )


def _compared(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.p_value is not None]
