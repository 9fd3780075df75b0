"""The benchmark measures the index that bm25s builds of the same ids, and its own words survive."""

from __future__ import annotations

import pytest

from tests.benchmarks.bm25 import figures, measure

pytestmark = pytest.mark.slow


def test_both_sides_build_the_same_index() -> None:
    pytest.importorskip("numba")
    found = measure(1_000)
    assert found["bare"]["same_index"] is True
    assert found["build"]["postings"] > 70_000
    assert all(ratio > 0 for ratio in found["search"]["ratios"])
    assert found["search"]["resident_bytes"] > 10**7
    assert all(each.against == "bm25s given token ids" for each in figures(found))
