"""A leaderboard as a pandas frame: a row a line of its tables, typed numbers in every column."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from leaderboards.board import build
from leaderboards.rounding import plain
from leaderboards.table import check_k, records

if TYPE_CHECKING:
    from pandas import DataFrame

_TEXT = (
    "table", "tasks", "split", "model", "settings", "row", "method", "params", "seeds",
    "memory_kind", "elsewhere", "external",
)  # fmt: skip
_YES_NO = ("oracle", "f1_top_tier", "index_cached", "isolated")
_WHOLE = ("limit", "questions", "errors", "unanswered", "retries", "latency_queries")
_SCORES = ("recall@{k}", "all_gold@{k}", "recall_read")


def leaderboard(runs_dir: Path, k: int) -> DataFrame:
    """The lines of the CSV leaderboard: see ``harness.leaderboard``."""
    import pandas as pd

    check_k(k)
    found = [plain(record) for record in records(build(runs_dir, k))]
    frame = pd.DataFrame(found, columns=list(dict.fromkeys(key for row in found for key in row)))
    missing = [
        f"{name.format(k=k)}{end}" for name in _SCORES for end in ("", "_low", "_high", "_std")
    ]
    for name in missing:  # nothing was retrieved in any run
        if name not in frame:
            frame[name] = None
    frame["external"] = [row.get("external", "") for row in found]
    kinds = dict.fromkeys(frame.columns, "float64") | dict.fromkeys(_TEXT, "object")
    return frame.astype(kinds | dict.fromkeys(_YES_NO, "bool") | dict.fromkeys(_WHOLE, "Int64"))
