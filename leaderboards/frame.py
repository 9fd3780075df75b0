"""A leaderboard as a pandas frame: a row a line of its tables, typed numbers in every column."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from leaderboards.flat import kinds, records, settings
from leaderboards.view import view

if TYPE_CHECKING:
    from pandas import DataFrame

_log = logging.getLogger(__name__)

_TYPES = {"float": "float64", "int": "Int64", "bool": "bool", "text": "object"}


def leaderboard(runs_dir: Path, k: int) -> DataFrame:
    """The lines of the CSV leaderboard: see ``harness.leaderboard``."""
    import pandas as pd

    shown = view(runs_dir, k=k)
    for note in shown.board.notes:
        _log.warning("%s: %s", runs_dir, note)
    types = {name: _TYPES[kind] for name, kind in kinds(shown).items()}
    frame = pd.DataFrame(records(shown), columns=list(types), dtype=object).astype(types)
    frame.attrs.update(settings(shown))
    return frame
