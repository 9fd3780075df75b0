"""Storage by part against floors: how far each method is above what a corpus takes at least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.escape import markdown_text
from harness.report import pipe_table
from leaderboards.analysis.series import shown_label
from leaderboards.analysis.storage import Stored
from leaderboards.cells import MISSING, number
from leaderboards.floors import Floor

FLOOR = "floor"


def part_records(stored: Sequence[Stored], floors: Sequence[Floor]) -> Iterator[dict[str, Any]]:
    """One record a part of each method of one corpus, then one a floor."""
    for one in stored:
        for part, size in sorted(one.row.cost.storage_parts.items()):
            yield _record(one, {"method": one.row.label, "part": part, "mb_per_1000": size})
        if one.shared_mb:
            yield _record(
                one, {"method": one.row.label, "part": "shared parameters", "mb": one.shared_mb}
            )
    for floor in floors:
        yield _record(
            stored[0], {"part": floor.name, "kind": FLOOR, "mb_per_1000": floor.mb_per_1000}
        )
        if floor.shared_bytes:
            shared = {
                "part": f"{floor.name}: shared",
                "kind": FLOOR,
                "mb": floor.shared_bytes / 1e6,
            }
            yield _record(stored[0], shared)


def parts_table(stored: Sequence[Stored], floors: Sequence[Floor]) -> str:
    """A markdown table of one corpus: MB per 1,000 documents by part, and times each floor."""
    parts = sorted({part for one in stored for part in one.row.cost.storage_parts})
    headers = ["Method", *parts, "All", "Shared MB", *(f"x {floor.name}" for floor in floors)]
    rows = [
        [
            markdown_text(shown_label(one.row)),
            *(_size(one.row.cost.storage_parts.get(part)) for part in parts),
            _size(one.own),
            _size(one.shared_mb),
            *(_times(one.own, floor) for floor in floors),
        ]
        for one in stored
    ]
    rows += [
        [
            f"Floor: {markdown_text(floor.name)}",
            *(MISSING for _ in parts),
            _size(floor.mb_per_1000),
            _size(floor.shared_bytes / 1e6),
            *(_times(floor.mb_per_1000, other) for other in floors),
        ]
        for floor in floors
    ]
    return pipe_table([markdown_text(header) for header in headers], rows)


def _record(one: Stored, values: dict[str, Any]) -> dict[str, Any]:
    return {
        **one.pool.record(),
        "method": values.get("method"),
        "kind": values.get("kind", "method"),
        "part": values["part"],
        "mb_per_1000_documents": values.get("mb_per_1000"),
        "shared_mb": values.get("mb"),
    }


def _size(value: float | None) -> str:
    return MISSING if value is None else number(value)


def _times(size: float, floor: Floor) -> str:
    return number(size / floor.mb_per_1000) if size and floor.mb_per_1000 else MISSING
