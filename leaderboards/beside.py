"""Two boards side by side, each with its own questions; no rows are ranked together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import InputError
from harness.escape import markdown_text
from harness.report import bullets
from leaderboards.board import Table, build
from leaderboards.cells import MISSING
from leaderboards.columns import Column, find_columns
from leaderboards.dealt import size_of
from leaderboards.rows import DEFAULT_K, Row
from leaderboards.writers.grid import Grid
from leaderboards.writers.markdown import pipes


def beside(own: Path, other: Path, names: tuple[str, str]) -> str:
    """The rows of ``own`` beside those of ``other``, in the order of ``other``, as markdown.

    Of the mean over tasks where both have it, else of each task that both have, over corpora of the
    same size where one of them has several. ``names`` are what the two are called. Raises
    InputError for broken runs and for boards without a table in common.
    """
    boards = [build(folder, DEFAULT_K).tables for folder in (own, other)]
    sized = set().union(*map(_of_several_sizes, boards))
    mine, theirs = (_tables(tables, sized) for tables in boards)
    shared = [key for key in theirs if key in mine]
    means = [key for key in shared if len(key.tasks) > 1]
    if not shared:
        known = "; ".join(sorted({key.text for key in theirs}))
        raise InputError(f"{own}: no table over the tasks of {other} ({known})")
    parts = [_part(key, mine[key], theirs[key], names) for key in means or shared]
    return "\n\n".join(parts) + "\n"


class _Asked(NamedTuple):
    """Sets of tasks, and how large their corpora are, if that is to be the same."""

    tasks: tuple[str, ...]
    size: str

    @classmethod
    def of(cls, table: Table, sized: Collection[tuple[str, ...]] = ()) -> _Asked:
        tasks = tuple(sorted(table.tasks))
        return cls(tasks, size_of(table.settings) if tasks in sized else "")

    @property
    def text(self) -> str:
        return ", ".join(filter(None, (*self.tasks, self.size)))


def _of_several_sizes(tables: Iterable[Table]) -> set[tuple[str, ...]]:
    """Sets of tasks that a board has tables of over corpora of several sizes."""
    sizes: dict[tuple[str, ...], set[str]] = {}
    for table in tables:
        sizes.setdefault(_Asked.of(table).tasks, set()).add(size_of(table.settings))
    return {tasks for tasks, known in sizes.items() if len(known) > 1}


def _tables(tables: Iterable[Table], sized: Collection[tuple[str, ...]]) -> dict[_Asked, Table]:
    """The first table of each set of tasks and, of those, of each size."""
    found: dict[_Asked, Table] = {}
    for table in tables:
        found.setdefault(_Asked.of(table, sized), table)
    return found


def _part(asked: _Asked, mine: Table, theirs: Table, names: tuple[str, str]) -> str:
    f1 = find_columns([*mine.rows, *theirs.rows], DEFAULT_K)["f1"]
    pairs = _pairs(mine.rows, theirs.rows)
    headings = ("Method", *(f"{markdown_text(name)}: F1 [95% CI]" for name in reversed(names)))
    lines = [(markdown_text(p.name), _text(f1, p.there), _text(f1, p.here)) for p in pairs]
    grid = Grid(headings, tuple(lines))
    title = f"## {markdown_text(f'{names[0]} beside {names[1]}: {asked.text}')}"
    return "\n\n".join([title, pipes(grid), bullets(_notes(mine, theirs, pairs, names))])


class _Pair(NamedTuple):
    """A row of one board and that of the other, if each has one."""

    here: Row | None
    there: Row | None

    @property
    def rows(self) -> list[Row]:
        return [row for row in self if row is not None]

    @property
    def name(self) -> str:
        """What both are called: the label, or the method alone if their parameters differ."""
        labels = {row.label for row in self.rows}
        return labels.pop() if len(labels) == 1 else self.rows[0].method


def _pairs(mine: Sequence[Row], theirs: Sequence[Row]) -> list[_Pair]:
    """Rows of the same label, else the only ones of their method; those of ``mine`` alone last."""
    by_label = {row.label: row for row in mine}
    taken: set[str] = set()
    pairs = []
    for there in theirs:
        here = by_label.get(there.label) or _only(there, mine, theirs)
        if here is not None:
            taken.add(here.label)
        pairs.append(_Pair(here, there))
    return [*pairs, *(_Pair(row, None) for row in mine if row.label not in taken)]


def _only(there: Row, mine: Sequence[Row], theirs: Sequence[Row]) -> Row | None:
    same = [row for row in mine if row.method == there.method]
    alone = sum(row.method == there.method for row in theirs) == 1
    return same[0] if len(same) == 1 and alone else None


def _text(f1: Column, row: Row | None) -> str:
    return MISSING if row is None else f1.text(row)


def _notes(
    mine: Table, theirs: Table, pairs: Sequence[_Pair], names: tuple[str, str]
) -> Iterator[str]:
    """What keeps the two apart."""
    yield (
        f"Two boards, not one ranking: {names[1]} asked {theirs.questions:,} questions, {names[0]} "
        f"{mine.questions:,}; rows stand in the order of {names[1]}. Read each column by itself."
    )
    if apart := _differences(mine.settings, theirs.settings):
        yield f"The two differ in {', '.join(apart)}."
    for pair in pairs:
        if len(pair.rows) == 2 and len({row.label for row in pair.rows}) == 2:
            here, there = pair.rows
            yield f"Other parameters: {here.label} in {names[0]}, {there.label} in {names[1]}."


def _differences(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
