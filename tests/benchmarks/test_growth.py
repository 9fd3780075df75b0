"""A generous bound, so that only what grows faster than the questions fails."""

from __future__ import annotations

import pytest

from tests.benchmarks.growth import measure

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("disk")]


def test_a_question_among_many_takes_no_longer_and_memory_stays() -> None:
    time, memory = measure((300, 1_200), "bm25", rounds=2)
    assert time.value < 2
    assert memory.value < 1.2
