"""Leaderboards as text. The same runs give the same text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leaderboards.board import build
from leaderboards.rows import DEFAULT_K
from leaderboards.view import view
from leaderboards.writers import check_format, write

__all__ = ["build", "render"]


def render(
    runs_dir: Path, format: str = "markdown", k: int = DEFAULT_K, *, columns: Sequence[str] = ()
) -> str:
    """Tables of all finished runs below ``runs_dir``, with retrieval scores at ``k``.

    Raises InputError for broken, unscored or no finished runs, ConfigError for another format, a
    column that there is not or a ``k`` that is not scored.
    """
    check_format(format)
    return write(view(runs_dir, k=k, columns=columns), format).decode()
