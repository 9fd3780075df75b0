"""The drawing goes on in proportion from the largest size; memory, which does not grow, stays."""

from __future__ import annotations

import pytest

from tests.benchmarks.bm25_plot import FLASHRAG, PANELS, draw


def size(passages: int) -> dict:
    return {
        "passages": passages,
        "build": {"cpu_seconds": passages / 4000, "peak_bytes": 4e8, "index_bytes": 650 * passages},
        "bare": {"cpu_seconds": passages / 6000, "peak_bytes": 600 * passages},
        "search": {"ours_per_cpu_second": 5e8 / passages, "bm25s_per_cpu_second": 6e8 / passages},
    }


def test_cost_is_drawn_and_carried_to_flashrags_passages(tmp_path):
    sizes = [size(10_000), size(1_000_000)]
    expected = [panel.expected(sizes[-1]) for panel in PANELS]
    million = FLASHRAG / 1e6
    assert expected == pytest.approx([250 * million, 400, 650 * million, 2 * million])
    png, svg = draw(sizes, tmp_path)
    assert png.read_bytes()[:4] == b"\x89PNG"
    first = svg.read_bytes()
    draw(sizes, tmp_path)
    assert svg.read_bytes() == first
