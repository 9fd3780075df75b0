"""An import does not hold what it reads; the benchmark says what it takes."""

from __future__ import annotations

import pytest

from tests.benchmarks.importing import SOURCES, Measured, measure
from tests.benchmarks.published import PUBLISHED

ROWS = 6_000


@pytest.fixture(scope="module")
def nothing() -> Measured:
    return measure(SOURCES["csv"], 10)


# One that is read row by row and one whole; the benchmark has all.
@pytest.mark.parametrize("make", [SOURCES["csv"], PUBLISHED["hotpotqa"]])
def test_memory_grows_by_less_than_the_texts(make, nothing):
    large = measure(make, ROWS)
    assert large.passages >= ROWS // 2
    assert large.peak - nothing.peak < 400 * ROWS  # a text alone is 500 bytes
