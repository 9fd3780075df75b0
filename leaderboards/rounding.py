"""Rounding, so that tables made on different processors are the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.report import csv_records


def plain(value: Any) -> Any:
    """Round to eight digits: the last bits of a sum differ between processors."""
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def rounded_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """``csv_records`` of rounded numbers."""
    return csv_records([plain(record) for record in records])
