"""The benchmark's figures are of indexes that find most of what the flat one does."""

from __future__ import annotations

import pytest

from tests.benchmarks.dense import KINDS, figures, measure

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("disk")]


def test_every_kind_is_compared_with_flat() -> None:
    flat, *kinds = found = measure(10_000, 20)
    assert [each["kind"] for each in kinds] == list(KINDS)
    told = {each["kind"]: each for each in kinds}
    assert flat["bytes"] == 10_000 * 384 * 2
    assert told["ivf-pq"]["bytes"] < told["sq8"]["bytes"] < flat["bytes"] < told["hnsw"]["bytes"]
    assert min(told[name]["recall_of_queries"] for name in ("sq8", "hnsw")) > 0.95
    for each in kinds:
        assert abs(each["recall"] - each["recall_of_queries"]) < 0.2
    assert all(figure.against.startswith("flat") for figure in figures(found, 10_000))
