"""LaTeX: a floating table for each, with booktabs' rules; letters of any kind compile."""

from __future__ import annotations

from collections.abc import Iterator

from harness.escape import shortened
from leaderboards.board import Table
from leaderboards.published.block import CAPTION, HEADING, Block, block, task_title, texts
from leaderboards.view import View
from leaderboards.writers.grid import LONGEST_LINE, Grid, Style, below, explained, grids
from leaderboards.writers.tex import tex_text

TEX = Style(tex_text, tex_text, lambda text: rf"\textbf{{{text}}}")
_HEAD = "% Needs \\usepackage{booktabs}. Made by memory-harness leaderboard --format latex."


def to_latex(view: View) -> bytes:
    """Write the board for a paper: to be included with ``\\input``."""
    parts = [_HEAD]
    for heading, tables in view.sections.items():
        if heading:
            parts.append(f"% {_text(heading)}")
        parts += ["\n".join(_table(view, table)) for table in tables]
    if view.board.notes:
        parts.append("\n".join(rf"\noindent {_text(note)}\par" for note in view.board.notes))
    if view.published:
        parts.append("\n".join(_published(block(view.published))))
    return ("\n\n".join(parts) + "\n").encode()


def _published(found: Block) -> Iterator[str]:
    """Figures of others, a table for each task, and the footnotes that these share."""
    for task, lines in found.lines.items():
        yield r"\begin{table}"
        yield r"\centering\footnotesize"
        yield rf"\caption{{{tex_text(f'{HEADING}: {task_title(task)}')}}}"
        headings, rows = texts(lines, tex_text)
        yield from _tabular(Grid(tuple(map(tex_text, headings)), tuple(map(tuple, rows))))
        yield r"\end{table}"
    notes = [f"({number}) {text}" for number, text in enumerate(found.footnotes, 1)]
    yield from (rf"\noindent {tex_text(line)}\par" for line in (*CAPTION, *notes))


def _table(view: View, table: Table) -> Iterator[str]:
    yield r"\begin{table}"
    yield r"\centering\footnotesize"
    yield r"\setlength{\tabcolsep}{3pt}"
    yield rf"\caption{{{_text(table.title)}}}"
    for grid in grids(view, table, TEX):
        yield from _tabular(grid)
    yield r"\par\medskip\raggedright\scriptsize"
    facts = (*below(view, table), *table.caption)
    yield from (rf"{line}\par" for line in map(_text, facts))
    yield " ".join(explained(view, [table], TEX)) + r"\par"
    yield r"\end{table}"


def _text(line: str) -> str:
    return tex_text(shortened(line, LONGEST_LINE))


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
