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
    ``models``, ``limit``, ``documents``, ``seeds``, ``leave_out_trained``, ``latency``,
    ``workers``. Raises ConfigError or InputError naming the key and the fix.
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

    The columns are those of ``memory-harness leaderboard --format csv``, one value each and
    missing numbers NaN:

    - ``table`` ("task", or "mean" over several), ``task``, ``split``, ``limit``, ``model``,
      ``questions``, ``hardware`` of the timings, ``settings_id``, ``row_id``;
    - ``row`` (the label), ``method``, ``oracle`` (is shown gold), ``external`` (the program that
      made imported results, empty for runs), ``seeds`` (how many);
    - ``em``, ``f1``, ``recall@k``, ``all_gold@k``, ``recall_read``: means from 0 to 1, with ends of
      the 95% interval over questions (``_low``, ``_high``) and the standard deviation over seeds
      (``_std``); ``f1_p_value`` of having the table's best F1, ``f1_top_tier``, ``rank_low``,
      ``rank_high``, ``letters`` (rows that share one do not differ); means of all other metrics by
      their names;
    - ``judged_right`` (a judge's verdicts), ``judge_agrees_with_em``, ``judge_kappa``,
      ``judged_answers``, ``judge_unclear``, ``judge``;
    - ``latency_p50_seconds``, ``latency_p90_seconds`` (of ``latency_queries`` single queries),
      ``latency_noise_share`` (between passes), ``first_token_p50_seconds``,
      ``first_token_p90_seconds`` (known of ``first_token_queries``), ``prefix_seconds``,
      ``prefix_positions``, ``prefix_bytes``, ``first_token_without_prefix_p50_seconds``,
      ``throughput_questions_per_second``, ``cold_start_seconds``, ``index_seconds``,
      ``index_built_before``, ``write_seconds``; ``elsewhere``: hardware whose timings were left
      out;
    - ``llm_calls_per_question``, ``retrievals_per_question``, ``tokens_per_question``,
      ``prompt_tokens_per_question``, ``completion_tokens_per_question``,
      ``prefix_tokens_per_question`` (kept, not read),
      ``passages_dropped_per_question``, ``passages_cut_per_question``; of writing the memory, in
      all: ``write_llm_calls``, ``write_retrievals``, ``write_tokens``, ``write_prompt_tokens``,
      ``write_completion_tokens``;
    - ``memory_peak_bytes``, ``memory_of_model_bytes``, ``memory_kind``, ``isolated``;
    - ``storage_mb_per_1000_documents`` (10^6 bytes), the same of each part
      (``storage_text_mb_per_1000_documents``, ...), ``storage_shared_mb``;
    - ``errors`` and those of each kind (``failed_ValueError``, ...), ``unanswered``, ``retries``:
      counts; ``empty_share``, ``cut_off_share`` of the questions.

    ``frame.attrs["settings"]`` tells what the rows of each ``settings_id`` share, and
    ``frame.attrs["rows"]`` parameters, seeds and runs of each ``row_id``. Only rows of the same
    ``settings_id`` may be compared. Raises InputError for broken or no finished
    runs, ConfigError for a ``k`` at which retrieval is not scored.
    """
    frame: DataFrame = load("frames", "leaderboard")(Path(runs), k)
    return frame
