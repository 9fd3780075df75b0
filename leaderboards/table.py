"""Leaderboards as markdown, CSV or JSON. The same runs give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from harness.errors import ConfigError, did_you_mean
from harness.escape import markdown_text
from harness.fingerprint import canonical_json
from harness.metrics import RECALL_AT
from harness.report import bullets, pipe_table
from leaderboards.board import Leaderboard, Table, build
from leaderboards.cells import Column, columns, further_columns
from leaderboards.rounding import plain, rounded_csv
from leaderboards.rows import DEFAULT_K, Row, Score

FORMAT_VERSION = 1
Format = Literal["markdown", "csv", "json"]

__all__ = ["Format", "Leaderboard", "build", "render", "to_csv", "to_json", "to_markdown"]


def render(runs_dir: Path, format: Format = "markdown", k: int = DEFAULT_K) -> str:
    """Tables of all finished runs below ``runs_dir``, with retrieval scores at ``k``.

    Raises InputError for broken, unscored or no finished runs, ConfigError for another format or
    a ``k`` that is not scored.
    """
    check_k(k)
    writers = {"markdown": to_markdown, "csv": to_csv, "json": to_json}
    if format not in writers:
        raise ConfigError(f"no such format: {format!r}{did_you_mean(format, list(writers))}")
    return writers[format](build(runs_dir, k))


def check_k(k: int) -> None:
    """Raise ConfigError for a ``k`` that is not scored."""
    if k not in RECALL_AT:
        raise ConfigError(f"k = {k}: retrieval is scored at {', '.join(map(str, RECALL_AT))}")


def to_markdown(board: Leaderboard) -> str:
    """Write GitHub tables, each with its caption above and its notes below."""
    parts = ["# Leaderboard", *map(_markdown_table, board.tables)]
    if board.notes:
        parts += ["## Notes", bullets(board.notes)]
    return "\n\n".join(parts) + "\n"


def to_csv(board: Leaderboard) -> str:
    """Write one line per row of every table, with raw numbers (scores from 0 to 1)."""
    return rounded_csv(records(board))


def records(board: Leaderboard) -> list[dict[str, Any]]:
    """One record per row of every table, with raw numbers (scores from 0 to 1)."""
    return [_record(table, row) for table in board.tables for row in table.rows]


def to_json(board: Leaderboard) -> str:
    """Write everything, with raw numbers (scores from 0 to 1), intervals and p-values."""
    content = {"format_version": FORMAT_VERSION} | plain(asdict(board, dict_factory=_told))
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _markdown_table(table: Table) -> str:
    grids = [_grid(table, columns(table.kind, table.rows, table.k))]
    if table.kind == "task":
        further = further_columns(table.rows, table.k)
        grids += [_grid(table, further)] if len(further) > 1 else []
    parts = [f"## {markdown_text(table.title)}", bullets(table.caption), *grids]
    return "\n\n".join(parts + ([bullets(table.notes)] if table.notes else []))


def _grid(table: Table, shown: Sequence[Column]) -> str:
    return pipe_table(
        [header for header, _ in shown], [[cell(row) for _, cell in shown] for row in table.rows]
    )


def _record(table: Table, row: Row) -> dict[str, Any]:
    return {
        "table": table.kind,
        "tasks": " ".join(table.tasks),
        "split": table.settings.get("task.split"),
        "limit": table.settings.get("task.limit"),
        "model": table.model,
        "settings": canonical_json(table.settings),
        "questions": table.questions,
        "row": row.label,
        "method": row.method,
        "params": canonical_json(row.params),
        "oracle": int(row.oracle),
        **({"external": row.external} if row.external else {}),
        "seeds": " ".join(map(str, row.seeds)),
        **_score_fields("em", row.em),
        **_score_fields("f1", row.f1),
        "f1_p_value": row.p_value,
        "f1_top_tier": int(row.top),
        **row.means,
        **_score_fields(f"recall@{table.k}", row.recall),
        **_score_fields(f"all_gold@{table.k}", row.all_gold),
        **_score_fields("recall_read", row.recall_read),
        "errors": row.errors,
        "unanswered": row.unanswered,
        "retries": row.retries,
        **asdict(row.cost),
    }


def _told(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of a record; ``external`` only where a row is, as files of earlier releases."""
    return {name: value for name, value in fields if (name, value) != ("external", "")}


def _score_fields(name: str, score: Score | None) -> Mapping[str, float | None]:
    if score is None:
        return {}
    low, high = score.interval
    return {name: score.mean, f"{name}_low": low, f"{name}_high": high, f"{name}_std": score.std}
