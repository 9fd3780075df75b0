"""Pools of a board: its tasks' questions dealt into pools, and which methods are run on which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from harness.data.dealing import deal
from harness.errors import ConfigError
from harness.runs.measuring import Measuring

if TYPE_CHECKING:
    from harness.boards.config import Board, TaskEntry
    from harness.data.task import TaskData


class Asked(NamedTuple):
    """Questions over one corpus, and the place of their entry among the board's tasks."""

    entry: int
    data: TaskData


def dealt(board: Board, data: Sequence[TaskData]) -> list[Asked]:
    """What is asked over which corpus; ``data`` are one for each of the board's tasks.

    Nothing by a board that only prepares. Raises InputError if pools cannot be dealt.
    """
    if not board.methods:
        return []
    entries = zip(board.tasks, data, strict=True)
    return [Asked(t, part) for t, (task, whole) in enumerate(entries) for part in _of(task, whole)]


def pairs(board: Board, asked: Sequence[Asked]) -> list[tuple[int, int]]:
    """Places of data and of the methods that are run on them, in the board's order.

    Raises ConfigError if every method stops at less than the smallest corpus.
    """
    sizes = [len(each.data.corpus) for each in asked]
    found = [
        (place, n)
        for place, size in enumerate(sizes)
        for n, entry in enumerate(board.methods)
        if entry.up_to is None or size <= entry.up_to
    ]
    if board.methods and not found:
        raise ConfigError(
            f"board '{board.name}': no method is run on a corpus as large as the smallest, "
            f"{min(sizes):,} documents; raise 'up_to'"
        )
    return sorted(found, key=lambda pair: pair[1]) if board.order == "methods" else found


def stopping(board: Board, asked: Sequence[Asked]) -> Iterator[str]:
    """What to say of methods that are not run on all corpora."""
    sizes = sorted({len(each.data.corpus) for each in asked})
    for entry in board.methods:
        if entry.up_to is not None and (left := [f"{n:,}" for n in sizes if n > entry.up_to]):
            yield (
                f"{entry.name}: the board runs it on up to {entry.up_to:,} documents, so not on "
                f"{', '.join(left)}"
            )


def shared_out(measuring: Measuring, data: TaskData) -> Measuring:
    """The measuring of one pool of several, which together time as many queries as one would.

    Dealt in the order in which queries are timed, all sizes time the same, but for rounding up.
    """
    if data.dealt is None:
        return measuring
    pools = data.dealt.pools
    queries, warmup = -(-measuring.queries // pools), -(-measuring.warmup // pools)
    return replace(measuring, queries=queries, warmup=warmup)


def _of(task: TaskEntry, whole: TaskData) -> Iterator[TaskData]:
    if not task.pools:
        yield whole
    for size in task.pools:
        yield from deal(whole, size)
