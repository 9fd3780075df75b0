"""The benchmark measures the index that bm25s builds of the same ids, and its own words survive.

Search is left to the benchmark: bm25s compiles its own for a quarter of a minute.
"""

from __future__ import annotations

import pytest

from tests.benchmarks.bm25 import measure

pytestmark = pytest.mark.slow


def test_both_sides_build_the_same_index() -> None:
    found = measure(1_000, ("build", "bare"))
    assert found["bare"]["same_index"] is True
    assert found["build"]["postings"] > 70_000
