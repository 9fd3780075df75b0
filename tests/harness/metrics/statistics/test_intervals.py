"""Intervals hold what they promise from the first question on."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.metrics.statistics import (
    Interval,
    average_ci,
    average_cis,
    difference_ci,
    hierarchical_ci,
    loss_difference_ci,
    mean_cis,
    perplexity_difference_ci,
    proportion_ci,
)

pytestmark = pytest.mark.numeric

SCORES = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1, width=16))
QUICK = settings(deadline=None, max_examples=20)


def f1(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mean 0.3."""
    kind, between = rng.random(shape), np.round(12 * rng.random(shape)) / 12
    return np.where(kind < 0.55, 0, np.where(kind < 0.7, 1, between))


def rare(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mean 0.025."""
    return np.where(rng.random(shape) < 0.95, 0, rng.random(shape))


def em(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mean 0.04."""
    return (rng.random(shape) < 0.04).astype(float)


KINDS = [(f1, 0.3), (rare, 0.025), (em, 0.04), (lambda r, s: 1 - rare(r, s), 0.975)]
SAMPLES = 2000
LEAST = scipy.stats.binom.ppf(1e-3, SAMPLES, 0.95) / SAMPLES


def coverage(intervals: list[Interval], mean: float) -> float:
    return float(np.mean([low <= mean <= high for low, high in intervals]))


@pytest.mark.parametrize("n", [1, 4, 6, 10, 50])
@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_95_percent_of_intervals_hold_the_mean(kind: int, n: int) -> None:
    draw, mean = KINDS[kind]
    rng = np.random.default_rng([kind, n])
    assert coverage(mean_cis(draw(rng, (SAMPLES, n))), mean) >= LEAST


@pytest.mark.parametrize("sizes", [(4, 4, 4, 4), (6, 6, 6, 6), (4, 40)])
@pytest.mark.parametrize("kind", [0, 2])
def test_and_of_intervals_of_an_average_over_tasks(kind: int, sizes: tuple[int, ...]) -> None:
    draw, mean = KINDS[kind]
    rng = np.random.default_rng([kind, *sizes])
    assert coverage(average_cis([draw(rng, (SAMPLES, n)) for n in sizes]), mean) >= LEAST


def test_and_of_intervals_of_a_difference() -> None:
    rng = np.random.default_rng(3)
    found = [difference_ci(f1(rng, (6,)) - f1(rng, (6,))) for _ in range(60)]
    assert coverage(found, 0) >= 0.9


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_and_over_seeds_and_questions_whichever_matters_more(seeds: int) -> None:
    """Each seed shifts all questions; 60 questions and a few seeds stand for all of them."""
    for spread in (0.005, 0.1):
        rng = np.random.default_rng([seeds, round(1000 * spread)])
        shift, luck = rng.normal(0, spread, (500, seeds, 1)), rng.normal(0, 0.02, (500, seeds, 60))
        scores = np.clip(rng.normal(0.5, 0.08, (500, 1, 60)) + shift + luck, 0, 1)
        over_questions = mean_cis(scores.mean(axis=1))
        found = map(hierarchical_ci, over_questions, scores.mean(axis=2).tolist())
        assert coverage(list(found), 0.5) >= 0.92, spread


def test_many_questions_have_the_bootstraps_interval() -> None:
    values = f1(np.random.default_rng(0), (2000,))
    expected = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert mean_cis([values])[0] == pytest.approx((expected.low, expected.high), abs=0.002)


@QUICK
@given(SCORES)
def test_properties(values: np.ndarray) -> None:
    low, high = mean_cis([values])[0]
    assert 0 <= low <= values.mean() + 1e-9 and values.mean() - 1e-9 <= high <= 1
    narrow = mean_cis([values], level=0.5)[0]
    assert low <= narrow.low + 1e-9 and narrow.high <= high + 1e-9
    mirrored = mean_cis([1 - values])[0]
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-7)
    assert mean_cis([values, values])[1] == pytest.approx((low, high), abs=1e-9)


def test_scores_at_an_end_of_the_scale_claim_no_certainty() -> None:
    none, all_ = mean_cis([np.zeros(4), np.ones(4)])
    assert none.low == 0 and none.high == pytest.approx(0.6024, abs=1e-4)
    assert all_.high == 1 and all_.low == pytest.approx(0.3976, abs=1e-4)
    nearly = mean_cis([np.array([1, 1, 1, 1 - 1e-9])])[0]
    assert nearly.low == pytest.approx(all_.low, abs=0.005)


def test_an_average_of_one_task_is_itself_and_of_many_is_narrower() -> None:
    task = f1(np.random.default_rng(0), (2, 40))
    one, four = average_cis([task]), average_cis([task] * 4)
    assert np.array(one) == pytest.approx(np.array(mean_cis(task)), abs=1e-9)
    for single, many in zip(one, four, strict=True):
        assert (many.high - many.low) == pytest.approx((single.high - single.low) / 2, rel=0.15)
    interval = Interval(0.3, 0.6)
    assert average_ci([0.4], [interval]) == pytest.approx(interval)
    assert average_ci([0.4] * 4, [interval] * 4) == pytest.approx((0.35, 0.5))


def test_one_seed_says_nothing_of_others() -> None:
    interval = Interval(0.2, 0.4)
    assert hierarchical_ci(interval, [0.3]) == interval
    assert hierarchical_ci(interval, [0.3, 0.3]) == pytest.approx(interval)
    wide = hierarchical_ci(interval, [0.1, 0.5])
    assert wide == (0, 1)


@pytest.mark.parametrize(
    ("interval", "scale"), [(perplexity_difference_ci, np.exp), (loss_difference_ci, np.positive)]
)
def test_a_difference_of_losses_equals_scipys_paired_bootstrap(interval, scale) -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(20, 200, 60).astype(float)
    before = tokens * rng.normal(3, 0.3, 60)
    after = before + tokens * rng.normal(0.1, 0.1, 60)

    def difference(b: np.ndarray, a: np.ndarray, t: np.ndarray) -> float:
        return float(scale(a.sum() / t.sum()) - scale(b.sum() / t.sum()))

    expected = scipy.stats.bootstrap(
        (before, after, tokens), difference, paired=True, vectorized=False, method="percentile",
        n_resamples=5000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    found = interval(before, after, tokens)
    assert found == pytest.approx((expected.low, expected.high), rel=0.03)
    assert found.low < difference(before, after, tokens) < found.high
    assert interval(before, before, tokens) == (0, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mean_cis([[]]),
        lambda: mean_cis([0.1]),
        lambda: mean_cis([[0.1, float("nan")]]),
        lambda: mean_cis([[0.1, 1.1]]),
        lambda: mean_cis([[0.1]], level=1),
        lambda: difference_ci([-1.5]),
        lambda: proportion_ci(3, 2),
        lambda: proportion_ci(0, 0),
        lambda: perplexity_difference_ci([1.0], [1.0], [1.0], resamples=0),
    ],
)
def test_wrong_input_is_refused(call) -> None:
    with pytest.raises(ValueError, match=r"need|not|must"):
        call()
