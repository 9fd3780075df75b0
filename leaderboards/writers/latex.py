"""LaTeX: a floating table for each, with booktabs' rules; letters of any kind compile."""

from __future__ import annotations

from collections.abc import Iterator

from harness.escape import one_line
from leaderboards.board import Table
from leaderboards.view import View
from leaderboards.writers.grid import Grid, Style, below, explained, grids
from leaderboards.writers.tex import tex_text

TEX = Style(tex_text, tex_text, lambda text: rf"\textbf{{{text}}}")
_HEAD = "% Needs \\usepackage{booktabs}. Made by memory-harness leaderboard --format latex."


def to_latex(view: View) -> bytes:
    """Write the board for a paper: to be included with ``\\input``."""
    parts = [_HEAD]
    for heading, tables in view.sections.items():
        if heading:
            parts.append(f"% {one_line(heading)}".encode("ascii", "replace").decode())
        parts += ["\n".join(_table(view, table)) for table in tables]
    if view.board.notes:
        parts.append("\n".join(rf"\noindent {tex_text(note)}\par" for note in view.board.notes))
    return ("\n\n".join(parts) + "\n").encode()


def _table(view: View, table: Table) -> Iterator[str]:
    yield r"\begin{table}"
    yield r"\centering\small"
    yield r"\setlength{\tabcolsep}{4pt}"
    yield rf"\caption{{{tex_text(table.title)}}}"
    for grid in grids(view, table, TEX):
        yield from _tabular(grid)
    yield r"\par\medskip\raggedright\footnotesize"
    facts = (*below(view, table), *table.caption)
    yield from (rf"{line}\par" for line in map(tex_text, facts))
    yield " ".join(explained(view, [table], TEX)) + r"\par"
    yield r"\end{table}"


def _tabular(grid: Grid) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{l{'r' * (len(grid.headings) - 1)}}}"
    yield r"\toprule"
    yield _line(grid.headings)
    yield r"\midrule"
    yield from map(_line, grid.rows)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _line(cells: tuple[str, ...]) -> str:
    return " & ".join(cells) + r" \\"
