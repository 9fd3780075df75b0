"""Boards from Python: loaded, run and looked at, in a notebook or a script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.boards.config import Board, parse_board, parse_changes
from harness.boards.file import read_board
from harness.errors import InputError
from harness.registry import load

if TYPE_CHECKING:
    from pandas import DataFrame

Named = Board | str | Path | Mapping[str, Any]


def load_board(board: Named, **changes: Any) -> Board:
    """A board by its name, its YAML file, or the keys that such a file has.

    Paths in a mapping begin in the working folder. ``changes`` are those of the command line:
    ``models``, ``limit``, ``documents``, ``seeds``, ``leave_out_trained``, ``latency``. Raises
    ConfigError or InputError naming the key and the fix.
    """
    if isinstance(board, str | Path):
        found = read_board(str(board))
    elif isinstance(board, Board):
        found = board
    else:
        found = parse_board(dict(board) if isinstance(board, Mapping) else board, "board")
    return found.changed(parse_changes(changes, "load_board")) if changes else found


def run_board(
    board: Named,
    out: str | Path = "runs",
    *,
    device: str | None = None,
    batch_size: int | None = None,
    retry_errors: bool = False,
) -> DataFrame:
    """Answer, measure and score all runs of a board, then give ``leaderboard(out)``.

    As ``memory-harness run`` does: with progress on standard error; finished runs are kept, and one
    that an error or an interrupt stopped goes on where it was when the board is run again. Works
    where an event loop runs, as in Jupyter. Raises HarnessError, which says what to mend; runs that
    stop do not stop the others.
    """
    from rich.console import Console

    from harness.boards.whole import run_whole

    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise InputError(f"batch_size is {batch_size!r}; expected a whole number, 1 or more")
    options: dict[str, Any] = {"device": device, "batch_size": batch_size}
    loaded, folder = load_board(board), Path(out)
    if not run_whole(loaded, folder, Console(stderr=True), retry_errors=retry_errors, **options):
        import pandas as pd

        return pd.DataFrame()  # a board that only prepares
    return leaderboard(folder)


def leaderboard(runs: str | Path = "runs", k: int = 5) -> DataFrame:
    """The tables of all finished runs below a folder, one line a row, the best F1 first.

    The columns are those of ``memory-harness leaderboard --format csv``, missing numbers NaN:

    - ``table`` ("task", or "mean" over several ``tasks``), ``tasks``, ``split``, ``limit``,
      ``model``, ``questions``, ``settings`` (JSON of what the rows of one table share);
    - ``row`` (the label), ``method``, ``params`` (JSON of those that are not the default),
      ``oracle`` (is shown gold), ``seeds``, ``external`` (the program that made imported results,
      empty for runs);
    - ``em``, ``f1``, ``recall@k``, ``all_gold@k``, ``recall_read``: means from 0 to 1, with ends of
      the 95% interval over questions (``_low``, ``_high``) and the standard deviation over seeds
      (``_std``); ``f1_p_value`` of having the table's best F1, and ``f1_top_tier``; means
      of all other metrics by their names;
    - ``errors``, ``unanswered``, ``retries``: counts;
    - ``latency_p50``, ``latency_p90`` (seconds, of ``latency_queries`` single queries),
      ``throughput`` (questions a second), ``llm_calls``, ``retrievals``, ``prompt_tokens``,
      ``completion_tokens``, ``passages_dropped``, ``passages_cut`` (a question), ``empty``,
      ``cut_off`` (shares), ``memory_kind``, ``memory_bytes``, ``storage_mb_per_1000`` and
      ``storage_shared_mb`` (10^6 bytes); ``elsewhere``: hardware whose timings were left out.

    Only rows of the same ``settings`` may be compared. Raises InputError for broken or no finished
    runs, ConfigError for a ``k`` at which retrieval is not scored.
    """
    frame: DataFrame = load("frames", "leaderboard")(Path(runs), k)
    return frame
