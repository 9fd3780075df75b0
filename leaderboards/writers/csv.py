"""CSV: one line per row of every table, with raw numbers (scores from 0 to 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.fingerprint import canonical_json
from leaderboards.board import Leaderboard, Table
from leaderboards.rounding import rounded_csv
from leaderboards.rows import Row, Score
from leaderboards.view import View


def to_csv(view: View) -> bytes:
    """Write the board for spreadsheets and programs."""
    return rounded_csv(records(view.board)).encode()


def records(board: Leaderboard) -> list[dict[str, Any]]:
    """One record per row of every table."""
    return [_record(table, row) for table in board.tables for row in table.rows]


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


def _score_fields(name: str, score: Score | None) -> Mapping[str, float | None]:
    if score is None:
        return {}
    low, high = score.interval
    return {name: score.mean, f"{name}_low": low, f"{name}_high": high, f"{name}_std": score.std}
