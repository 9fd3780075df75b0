"""CSV: one line per row of every table, with raw numbers (scores from 0 to 1)."""

from __future__ import annotations

from harness.report import csv_records
from leaderboards.flat import kinds, records
from leaderboards.view import View


def to_csv(view: View) -> bytes:
    """Write the board for spreadsheets and programs."""
    return csv_records(records(view), list(kinds(view))).encode()
