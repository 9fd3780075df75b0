"""The words under a table on what its numbers can tell, as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.statistics import ALPHA
from leaderboards.rows import Row

_LEVEL = f"{100 * (1 - ALPHA):.0f} %"


def promises(rows: Sequence[Row]) -> tuple[str, ...]:
    """What intervals, bold and \u00b1 promise."""
    lines = [f"In brackets: {_LEVEL} intervals over questions."]
    if counts := sorted({len(row.seeds) for row in rows if row.f1.std is not None}):
        several = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        lines.append(
            f"\u00b1: standard deviation over {several} seeds; the interval of such a row is over "
            "questions and seeds, bold and ranks are of these seeds."
        )
    if len(_compared(rows)) > 1:
        lines.append(
            "Bold: rows that may have the best F1, since no row is significantly better. All rows "
            f"are tested together: with {_LEVEL} none that is as good as the best loses its bold."
        )
    if any(row.oracle for row in rows):
        lines.append("\u2020oracle: is shown gold, so it takes no part in the comparison.")
    return tuple(lines)


def power(rows: Sequence[Row], questions: int, smallest: float | None) -> str:
    """What so many questions could have shown; nothing to say of fewer than two rows."""
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
