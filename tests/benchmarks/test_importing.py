"""An import does not hold what it reads; the benchmark says what it takes."""

from __future__ import annotations

import pytest

from tests.benchmarks.importing import SOURCES, Measured, measure

ROWS = 6_000


@pytest.fixture(scope="module")
def nothing() -> Measured:
    return measure("csv", 10)


# Parquet has a library whose own memory is larger than so few rows: test_table.py.
@pytest.mark.parametrize("kind", sorted({*SOURCES} - {"parquet"}))
def test_memory_grows_by_less_than_the_texts(kind, nothing):
    large = measure(kind, ROWS)
    assert large.passages >= ROWS // 2
    assert large.peak - nothing.peak < 400 * ROWS  # a text alone is 500 bytes
