"""An import does not hold what it reads; the benchmark says what it takes."""

from __future__ import annotations

import pytest

from tests.benchmarks.importing import SOURCES, Measured, measure
from tests.benchmarks.published import PUBLISHED

ROWS = 6_000


@pytest.fixture(scope="module")
def nothing() -> Measured:
    return measure(SOURCES["csv"], 10)


# Parquet has a library whose own memory is larger than so few rows: test_table.py.
SMALL = {name: make for name, make in SOURCES.items() if name != "parquet"}


@pytest.mark.parametrize("make", [*SMALL.values(), PUBLISHED["hotpotqa"]])
def test_memory_grows_by_less_than_the_texts(make, nothing):
    large = measure(make, ROWS)
    assert large.passages >= ROWS // 2
    assert large.peak - nothing.peak < 400 * ROWS  # a text alone is 500 bytes
