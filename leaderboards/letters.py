"""All rows of each table compared with each other: letters and ranks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import ConfigError, did_you_mean
from harness.escape import markdown_text
from harness.report import bullets, pipe_table
from leaderboards.board import Table, build
from leaderboards.captions import failed
from leaderboards.rows import Row

_HEADERS = ("Method", "Mean", "Letters", "Ranks", "p of being the best")
_LEGEND = (
    "{metric}, percentages. Rows that share a letter do not differ significantly. Ranks: the "
    "places that a row may have. p: of having the best {metric}. All pairs of a table are tested "
    "together, so each of these holds for all rows at once with 95 %."
)


def letters(runs_dir: Path, metric: str = "f1") -> str:
    """Markdown, one table of the leaderboard after the other, best mean first.

    Raises ConfigError for a score that no row has.
    """
    tables = build(runs_dir, tested=metric).tables
    known = sorted({name for table in tables for row in table.rows for name in _means(row)})
    if metric not in known:
        raise ConfigError(f"not scored on '{metric}'{did_you_mean(metric, known)}")
    return "\n\n".join([_LEGEND.format(metric=metric), *(_section(t, metric) for t in tables)])


def _section(table: Table, metric: str) -> str:
    means = {row.label: _means(row).get(metric) for row in table.rows}
    rows = [row for row in table.rows if row.ranks is not None]
    rows.sort(key=lambda row: (-(means[row.label] or 0), row.label))
    title = f"## {markdown_text(table.title)}, {table.questions:,} questions"
    if not rows:
        return f"{title}\n\nNo row takes part in the comparison."
    grid = pipe_table(_HEADERS, [_line(row, means[row.label]) for row in rows])
    told = bullets(failed(row) for row in rows if row.errors)
    return "\n\n".join(filter(None, [title, grid, told]))


def _line(row: Row, mean: float | None) -> Sequence[str]:
    first, last = row.ranks or (0, 0)
    return (
        markdown_text(row.label),
        "—" if mean is None else f"{100 * mean:.1f}",
        row.letters,
        f"{first}" if first == last else f"{first}-{last}",
        "—" if row.p_value is None else f"{row.p_value:.4f}",
    )


def _means(row: Row) -> dict[str, float]:
    return {"em": row.em.mean, "f1": row.f1.mean} | {
        name: mean for name, mean in row.means.items() if mean is not None
    }
