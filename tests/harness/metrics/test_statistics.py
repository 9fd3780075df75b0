"""Statistics against scipy and naive versions, their properties, speed and memory."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.metrics import statistics
from harness.metrics.statistics import (
    Interval,
    average_ci,
    bootstrap_ci,
    bootstrap_cis,
    holm,
    mean_cis,
    paired_randomisation_test,
    perplexity_difference_ci,
    proportion_cis,
    versus_best,
    wilson_ci,
)

pytestmark = pytest.mark.numeric

SCORES = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1, width=16))
QUICK = settings(deadline=None, max_examples=40)


def scores(n: int, mean: float = 0.5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).beta(2 * mean, 2 * (1 - mean), n)


@QUICK
@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_equals_scipy(n: int, share: float, level: float) -> None:
    successes = round(share * n)
    expected = scipy.stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert wilson_ci(successes, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_bootstrap_equals_scipy_but_for_chance() -> None:
    values = scores(200)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert bootstrap_ci(values) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_a_perplexity_difference_equals_scipys_paired_bootstrap() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(20, 200, 60).astype(float)
    before = tokens * rng.normal(3, 0.3, 60)
    after = before + tokens * rng.normal(0.1, 0.1, 60)

    def difference(b: np.ndarray, a: np.ndarray, t: np.ndarray) -> float:
        return float(np.exp(a.sum() / t.sum()) - np.exp(b.sum() / t.sum()))

    expected = scipy.stats.bootstrap(
        (before, after, tokens), difference, paired=True, vectorized=False, method="percentile",
        n_resamples=10_000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    found = perplexity_difference_ci(before, after, tokens)
    assert found == pytest.approx((expected.low, expected.high), rel=0.03)
    assert found.low < difference(before, after, tokens) < found.high
    assert perplexity_difference_ci(before, before, tokens) == (0, 0)


@QUICK
@given(SCORES)
def test_bootstrap_properties(values: np.ndarray) -> None:
    low, high = bootstrap_ci(values, resamples=400)
    assert values.min() - 1e-9 <= low <= high <= values.max() + 1e-9
    assert bootstrap_ci(values, resamples=400) == (low, high)
    narrow = bootstrap_ci(values, level=0.5, resamples=400)
    assert low <= narrow.low <= narrow.high <= high
    shifted = bootstrap_ci(values + 1, resamples=400)
    assert shifted == pytest.approx((low + 1, high + 1))


def test_bootstrap_covers_the_true_mean() -> None:
    intervals = [bootstrap_ci(scores(60, 0.3, seed), resamples=500) for seed in range(300)]
    assert np.mean([low <= 0.3 <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.04)


def test_chunks_do_not_change_the_resamples(monkeypatch) -> None:
    values = scores(50)
    whole = bootstrap_ci(values, resamples=1000)
    monkeypatch.setattr(statistics, "_CHUNK_CELLS", 333)
    assert bootstrap_ci(values, resamples=1000) == pytest.approx(whole)


def test_binary_scores_get_wilson_and_others_the_bootstrap() -> None:
    rows = np.array([np.ones(20), np.zeros(20), scores(20), np.repeat([0.0, 1.0], 10)])
    intervals = mean_cis(rows)
    assert intervals[0] == wilson_ci(20, 20) and intervals[0].low < 0.9
    assert intervals[1] == wilson_ci(0, 20)
    assert intervals[2] == bootstrap_ci(rows[2])
    assert intervals[3] == wilson_ci(10, 20)


def test_averages_of_binary_scores_are_proportions() -> None:
    averages = np.array([[0, 1 / 3, 2 / 3, 1], [0, 0, 0, 1 / 3]])
    assert proportion_cis(averages)[0] == wilson_ci(2, 4)
    assert proportion_cis(averages)[1] == wilson_ci(1 / 3, 4)
    assert proportion_cis(averages)[1].high > bootstrap_ci(averages[1]).high


def test_average_of_one_is_itself_and_of_many_is_narrower() -> None:
    interval = Interval(0.3, 0.6)
    assert average_ci([0.4], [interval]) == pytest.approx(interval)
    assert average_ci([0.4] * 4, [interval] * 4) == pytest.approx((0.35, 0.5))


def test_average_agrees_with_a_bootstrap_within_tasks() -> None:
    a, b = scores(300, 0.3, 1), scores(80, 0.7, 2)
    rng = np.random.default_rng(0)
    means = [(rng.choice(a, a.size).mean() + rng.choice(b, b.size).mean()) / 2 for _ in range(4000)]
    expected = np.quantile(means, [0.025, 0.975])
    ours = average_ci([a.mean(), b.mean()], [bootstrap_ci(a), bootstrap_ci(b)])
    assert ours == pytest.approx(tuple(expected), abs=0.004)


def scipy_p(a: np.ndarray, b: np.ndarray, resamples: int = 10_000) -> float:
    return float(
        scipy.stats.permutation_test(
            (a, b),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=resamples,
            rng=np.random.default_rng(1),
        ).pvalue
    )


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("n", [8, 60])
def test_randomisation_test_equals_scipy(shift: float, n: int) -> None:
    a, b = scores(n, seed=1), np.clip(scores(n, seed=2) + shift, 0, 1)
    # Eight pairs are few enough for scipy to enumerate: its p-value is then exact.
    assert paired_randomisation_test(a, b) == pytest.approx(scipy_p(a, b), abs=0.02)


@QUICK
@given(st.data(), st.integers(1, 30))
def test_randomisation_test_properties(data: st.DataObject, n: int) -> None:
    array = hnp.arrays(np.float64, n, elements=st.sampled_from([0, 0.25, 1 / 3, 1]))
    a, b = data.draw(array), data.draw(array)
    p = paired_randomisation_test(a, b, resamples=500)
    assert 1 / 501 <= p <= 1
    assert paired_randomisation_test(b, a, resamples=500) == p
    assert paired_randomisation_test(a, a, resamples=500) == 1


def test_randomisation_test_keeps_its_level() -> None:
    rng = np.random.default_rng(0)
    pvalues = [paired_randomisation_test(*rng.random((2, 40)), resamples=199) for _ in range(400)]
    assert np.mean(np.array(pvalues) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_smallest_p_value_is_never_zero() -> None:
    assert paired_randomisation_test(np.ones(100), np.zeros(100)) == 1 / 10_001


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_equals_the_definition(pvalues: list[float]) -> None:
    expected = [
        max(
            min(1.0, (len(pvalues) - rank) * p)
            for rank, p in enumerate(sorted(pvalues))
            if p <= own
        )
        for own in pvalues
    ]
    assert holm(pvalues) == pytest.approx(expected)
    assert all(adjusted >= p for adjusted, p in zip(holm(pvalues), pvalues, strict=True))


def behind(best: np.ndarray, errors: float) -> np.ndarray:
    """Scores whose mean is lower than the best by so many standard errors of the difference."""
    noise = np.random.default_rng(9).normal(0, 0.1, best.size)
    gap = errors * noise.std(ddof=1) / best.size**0.5
    return best - (noise - noise.mean()) - gap


def tier(family: dict[str, np.ndarray]) -> set[str]:
    """Those that are not significantly below the best."""
    return {name for name, p in versus_best(family).items() if p >= 0.05}


def test_versus_best() -> None:
    best = scores(400)
    family = {"best": best, "close": behind(best, 1), "worse": behind(best, 5)}
    assert tier(family) == {"best", "close"}
    assert versus_best(family)["best"] == 1
    assert versus_best(family)["worse"] == pytest.approx(2 / 10_001)
    assert tier({"only": best}) == {"only"}
    assert tier({}) == set()
    assert tier({"b": best, "a": best}) == {"a", "b"}


def test_holm_counts_the_whole_family() -> None:
    best = scores(200)
    rivals = {f"rival {i}": behind(best, 2.3) for i in range(5)}
    assert tier({"best": best, "rival": behind(best, 2.3)}) == {"best"}
    assert tier({"best": best} | rivals) == {"best"} | rivals.keys()


@pytest.mark.parametrize(
    "call",
    [
        lambda: bootstrap_ci([]),
        lambda: bootstrap_ci([[0.1, 0.2]]),
        lambda: bootstrap_ci([0.1, float("nan")]),
        lambda: bootstrap_ci([0.1], level=1),
        lambda: bootstrap_ci([0.1], resamples=0),
        lambda: bootstrap_cis([0.1]),
        lambda: wilson_ci(3, 2),
        lambda: wilson_ci(0, 0),
        lambda: paired_randomisation_test([0.1], [0.1, 0.2]),
        lambda: versus_best({"a": [0.1], "b": [0.1, 0.2]}),
        lambda: holm([1.5]),
    ],
)
def test_wrong_input_is_refused(call) -> None:
    with pytest.raises(ValueError, match=r"need|not|must"):
        call()


def test_a_full_table_takes_seconds_and_little_memory() -> None:
    family = {f"method {i}": scores(3610, 0.3 + i / 100, i) for i in range(8)}
    start = time.perf_counter()
    bootstrap_cis(list(family.values()))
    versus_best(family)
    assert time.perf_counter() - start < 10
    tracemalloc.start()
    bootstrap_cis(list(family.values()), resamples=2000)
    versus_best(family, resamples=2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
