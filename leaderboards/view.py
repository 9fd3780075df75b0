"""View: a board as it is to be shown, which every writer turns into the bytes of its format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError
from harness.metrics import RECALL_AT
from leaderboards.board import Leaderboard, build
from leaderboards.rows import DEFAULT_K


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of the runs below ``runs``: ``board`` has its tables and rows in their order.

    ``columns`` are names of columns; none are those that the format shows by itself.
    """

    runs: Path
    board: Leaderboard
    columns: tuple[str, ...] = ()


def view(runs: Path, *, k: int = DEFAULT_K, columns: tuple[str, ...] = ()) -> View:
    """Read the runs and arrange them.

    Raises InputError for broken, unscored or no finished runs, ConfigError for a ``k`` that is not
    scored.
    """
    if k not in RECALL_AT:
        raise ConfigError(f"k = {k}: retrieval is scored at {', '.join(map(str, RECALL_AT))}")
    return View(runs, build(runs, k), columns)
