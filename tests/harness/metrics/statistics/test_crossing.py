"""Crossings against hand-computed ones, and their intervals against made-up methods."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.statistics import crossing, crossing_points, resampled

SIZES = (10, 40, 160, 640)


def test_crossings_by_hand() -> None:
    leads = [
        [-1, -1, 1, 1],  # half-way between 40 and 160 on a logarithmic scale: 80
        [-3, 1, 1, 1],  # three quarters of the way from 10 to 40: 10 * 4^0.75
        [1, -1, -1, 1],  # the last of two
        [0, 1, 1, 1],  # equal at 10, ahead from there on
        [-1, 0, 0, 2],  # equal until 160
        [1, 1, 1, 1],
        [1, 1, 1, 0],
        [-1, -1, -1, -1],
    ]
    expected = [80, 10 * 4**0.75, 320, 10, 160, -np.inf, np.inf, np.inf]
    assert crossing_points(SIZES, leads) == pytest.approx(expected)


def test_no_resample_is_left_out_and_ends_may_lie_outside() -> None:
    below, within, above = [1, 1, 1, 1], [-1, -1, 1, 1], [-1, -1, -1, -1]
    drawn = np.array([below] * 10 + [within] * 80 + [above] * 10, dtype=float).T
    found = crossing(SIZES, within, drawn)
    assert (found.at, found.low, found.high) == (pytest.approx(80), -np.inf, np.inf)
    assert found.within == 0.8 and found.changes == 1 and found.is_within
    most = crossing(SIZES, within, np.array([within] * 99 + [above], dtype=float).T)
    assert (most.low, most.high) == (pytest.approx(80), pytest.approx(80))
    never = crossing(SIZES, below, drawn)
    assert not never.is_within and never.at == -np.inf
    alone = crossing(SIZES, [1, -1, 1, 1])
    assert (alone.low, alone.high, alone.within, alone.changes) == (None, None, None, 2)


def test_resamples_are_of_the_same_questions_for_all() -> None:
    scores = np.random.default_rng(1).random((1, 30))
    one, other, seeds = resampled([scores, scores + 2, np.vstack([scores, scores])], np.mean, 500)
    assert other - one == pytest.approx(2)
    assert seeds == pytest.approx(one)
    assert one.std() == pytest.approx(scores.std() / 30**0.5, rel=0.15)
    again = resampled([scores], np.median, 20_000, seed=3)
    assert again.shape == (1, 20_000)
    assert again[0, :7] == pytest.approx(resampled([scores], np.median, 7, seed=3)[0], abs=1)


def test_arrays_of_other_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="of the same questions"):
        resampled([np.ones((1, 3)), np.ones((1, 4))], np.mean)


def test_intervals_hold_the_true_crossing_as_often_as_promised() -> None:
    """Scores of 0 and 1, 50 questions: one method falls from .8 to .2, the other stays at .5."""
    rng = np.random.default_rng(0)
    falling, steady = np.array([0.8, 0.6, 0.4, 0.2]), np.full(4, 0.5)
    (true,) = crossing_points(SIZES, (steady - falling)[np.newaxis])
    assert true == pytest.approx(80)
    held, lengths = 0, []
    for trial in range(200):
        # Some questions are easier than others for both methods at all sizes, as real ones are.
        easy = rng.choice([-0.2, 0.2], 50)
        one, other = (
            (rng.random((4, 50)) < p[:, np.newaxis] + easy).astype(float) for p in (falling, steady)
        )
        drawn = resampled([row[np.newaxis] for row in (*one, *other)], np.mean, 400, seed=trial)
        leads = other.mean(axis=1) - one.mean(axis=1)
        found = crossing(SIZES, leads, drawn[4:] - drawn[:4])
        assert found.low is not None and found.high is not None
        held += found.low <= true <= found.high
        lengths.append(np.log(found.high) - np.log(found.low) if found.low > 0 else np.inf)
    assert 0.92 <= held / 200 <= 1
    # Not by being endless: half of them span less than the factor 16 from 40 to 640.
    assert np.median(lengths) < np.log(16)
