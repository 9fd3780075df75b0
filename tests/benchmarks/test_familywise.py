"""Made-up boards keep the level that bold promises; the benchmark tries many more."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from harness.metrics.statistics import ALPHA, compare_all, flip
from tests.benchmarks.familywise import BOARDS, GAP, MEANS, simulate, worsened

pytestmark = pytest.mark.numeric

EACH = 80
CASES = (
    ("alike", 2, 50),
    ("alike", 8, 200),
    ("alike", 16, 50),
    ("copies", 8, 50),
    ("shapes", 4, 50),
)


def test_at_most_one_board_in_twenty_loses_a_bold() -> None:
    found = [simulate(*case, boards=EACH, draws=500) for case in CASES]
    most = binom.ppf(0.999, EACH * len(CASES), ALPHA) / len(CASES) / EACH
    assert np.mean([one.lost for one in found]) <= most
    assert np.mean([one.called for one in found]) <= most
    assert np.mean([one.lost_beside_worse for one in found]) <= most


def test_a_thousand_questions_show_a_row_that_is_worse() -> None:
    assert simulate("alike", 4, 1000, boards=40, draws=500).power >= 0.8


@pytest.mark.parametrize("kind", sorted(BOARDS))
def test_what_is_true_of_the_boards(kind: str) -> None:
    """Rows are equally good and one is worse by the gap, else nothing here would be a level."""
    rng = np.random.default_rng(0)
    board = BOARDS[kind](rng, 4, 100_000)
    assert board.mean(axis=1) == pytest.approx(MEANS[kind], abs=0.006)
    worse = worsened(rng, board, MEANS[kind])[-1]
    assert worse.mean() == pytest.approx(MEANS[kind] - GAP, abs=0.006)
    assert set(np.unique(np.round(12 * board))) <= set(range(13))


def test_judging_many_boards_is_the_leaderboards_own_judgement() -> None:
    rng = np.random.default_rng([0, 3, 30])
    board = BOARDS["alike"](rng, 3, 30)
    lost = bool((compare_all(flip(board, 200, 0)).best <= ALPHA).any())
    assert simulate("alike", 3, 30, boards=1, draws=200).lost == lost
