"""Generous bounds, so that only a real slow-down fails; the benchmark prints the true numbers."""

from __future__ import annotations

import pytest

from harness.boards.method_entry import load_method
from tests.benchmarks.overhead import Branching, help_seconds, make_data, run

pytestmark = pytest.mark.usefixtures("disk")


@pytest.fixture(scope="module")
def data():
    return make_data(722)


@pytest.mark.parametrize("method", ["no-retrieval", "bm25"])
def test_a_question_costs_at_most_two_milliseconds(method, data, tmp_path):
    assert run(load_method(method)(), data, tmp_path).ms_per_question < 2


def test_a_question_of_twelve_calls_costs_at_most_six_milliseconds(data, tmp_path):
    assert run(Branching(), data, tmp_path).ms_per_question < 6


def test_help_comes_at_once():
    assert help_seconds() < 1.0
