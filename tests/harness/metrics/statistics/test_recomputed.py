"""Every statistic computed a second time, from its definition and by scipy, to 1e-9."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import prod

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from harness.metrics.statistics import (
    average_cis,
    compare_all,
    compare_pair,
    difference_ci,
    flip,
    hierarchical_ci,
    holm,
    mcnemar,
    mean_cis,
    paired_randomisation_test,
    proportion_ci,
    smallest_difference,
)
from harness.metrics.statistics.family import average

pytestmark = pytest.mark.numeric

EXACT = pytest.approx
CLOSE = 1e-9


def f1_like(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Zeros, ones and what lies between."""
    rng = np.random.default_rng(seed)
    kind, between = rng.random(shape), rng.integers(1, 12, shape) / 12
    return np.where(kind < 0.4, 0, np.where(kind < 0.6, 1, between))


def deviate(scores: np.ndarray, bound: float) -> float:
    """Barndorff-Nielsen's r* of a mean of ``bound``, by the empirical likelihood of the scores."""
    gaps = scores - bound
    low, high = 1 / gaps.min(), 1 / gaps.max()
    edge = 1e-13 * (high - low)
    tilt = scipy.optimize.brentq(
        lambda s: (gaps / (1 - s * gaps)).sum(), low + edge, high - edge, xtol=1e-15, rtol=1e-15
    )
    r = np.sqrt(2 * np.log(1 - tilt * gaps).sum())
    wald = abs(tilt) * np.sqrt(((gaps / (1 - tilt * gaps)) ** 2).sum())
    return float(r + np.log(wald / r) / r)


def upper(scores: np.ndarray, at: float) -> float:
    """The bound whose deviate is ``at``: the sample, one more score of 1, and a root."""
    augmented = np.append(scores, 1.0)
    start = augmented.mean() + 0.02 * augmented.std() / len(augmented) ** 0.5
    return scipy.optimize.brentq(
        lambda bound: deviate(augmented, bound) - at, start, 1 - 1e-12, xtol=1e-14
    )


@pytest.mark.parametrize("n", [4, 6, 40, 300])
def test_intervals_of_means(n: int) -> None:
    z = scipy.stats.norm.ppf(0.975)
    for row in (scores := f1_like((3, n), n)):
        if set(row) <= {0, 1}:
            continue
        expected = (1 - upper(1 - row, z), upper(row, z))
        assert mean_cis([row])[0] == EXACT(expected, abs=CLOSE)
        difference = row - scores[0][::-1]
        scaled = (difference + 1) / 2
        expected = (1 - 2 * upper(1 - scaled, z), 2 * upper(scaled, z) - 1)
        assert difference_ci(difference) == EXACT(expected, abs=CLOSE)


@pytest.mark.parametrize(("successes", "n"), [(0, 4), (1, 4), (4, 4), (7, 50), (1200, 3610)])
def test_intervals_of_proportions(successes: int, n: int) -> None:
    expected = scipy.stats.binomtest(successes, n).proportion_ci(0.95, method="exact")
    assert proportion_ci(successes, n) == EXACT((expected.low, expected.high), abs=CLOSE)
    scores = np.repeat([1.0, 0.0], [successes, n - successes])
    assert mean_cis([scores])[0] == EXACT((expected.low, expected.high), abs=CLOSE)


def test_intervals_of_averages_over_tasks() -> None:
    tasks = [f1_like((2, 12), 1), f1_like((2, 30), 2)]
    z = scipy.stats.norm.ppf(0.975)
    for row, found in enumerate(average_cis(tasks)):
        samples = [task[row] for task in tasks]
        highs = np.array([upper(x, z) - x.mean() for x in samples])
        lows = np.array([upper(1 - x, z) - (1 - x).mean() for x in samples])
        high = [
            upper(x, z * d) for x, d in zip(samples, highs / np.linalg.norm(highs), strict=True)
        ]
        low = [
            1 - upper(1 - x, z * d)
            for x, d in zip(samples, lows / np.linalg.norm(lows), strict=True)
        ]
        assert found == EXACT((np.mean(low), np.mean(high)), abs=CLOSE)


def beyond(scores: list[Fraction], bound: Fraction) -> Fraction:
    """P(mean of different ``scores`` under Dirichlet(1, ..., 1) weights > bound), exactly."""
    power = len(scores) - 1
    return sum(
        (z - bound) ** power / prod(z - other for other in scores if other != z)
        for z in scores
        if z > bound
    )


@pytest.mark.parametrize("n", [4, 7, 15])
def test_the_saddlepoint_is_the_exact_quantile_but_for_a_thousandth(n: int) -> None:
    rng = np.random.default_rng(n)
    scores = rng.choice(1000, n, replace=False) / 1000
    low, high = mean_cis([scores])[0]
    exact = [Fraction(round(1000 * x), 1000) for x in scores]
    assert float(beyond([*exact, Fraction(1)], Fraction(high))) == pytest.approx(0.025, abs=1e-3)
    above_low = beyond([*exact, Fraction(0)], Fraction(low)) if 0 not in exact else Fraction(39, 40)
    assert float(above_low) == pytest.approx(0.975, abs=1e-3)


def scipy_p(a: np.ndarray, b: np.ndarray) -> float:
    """Of ten questions or so scipy, too, tries every sign vector."""
    return float(
        scipy.stats.permutation_test(
            (a, b),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=10_000,
        ).pvalue
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_paired_randomisation_test(seed: int) -> None:
    a, b = f1_like((2, 11), seed)
    assert paired_randomisation_test(a, b) == EXACT(scipy_p(a, b), abs=CLOSE)
    found, differences = compare_pair(a, b), b - a
    t = scipy.stats.ttest_rel(b, a).statistic
    assert found.effect == EXACT(t / 11**0.5, abs=CLOSE)
    wins = scipy.stats.mannwhitneyu(differences, [0.0]).statistic
    assert found.superiority == EXACT(wins / 11, abs=CLOSE)


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (3, 10), (10, 3), (5, 5), (0, 7), (40, 61)])
def test_mcnemars_exact_test(won: int, lost: int) -> None:
    expected = scipy.stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert mcnemar(won, lost) == EXACT(expected, abs=CLOSE)
    a = np.repeat([0.0, 1.0, 1.0], [won, lost, 4])
    b = np.repeat([1.0, 0.0, 1.0], [won, lost, 4])
    assert compare_pair(a, b).p_value == EXACT(expected, abs=CLOSE)


def test_holms_correction() -> None:
    raw = scipy.stats.uniform.rvs(size=9, random_state=1) / 20
    order = np.argsort(raw)
    adjusted = np.empty(9)
    for place, i in enumerate(order):
        adjusted[i] = min(1, max((9 - j) * raw[order[j]] for j in range(place + 1)))
    assert holm(raw.tolist()) == EXACT(adjusted.tolist(), abs=CLOSE)


Pairs = list[tuple[int, int]]


def largest(scores: np.ndarray, pairs: Pairs, signs: np.ndarray) -> float:
    gaps = [scores[i] - scores[j] for i, j in pairs]
    return max(abs((signs * g).sum()) / np.linalg.norm(g) if g.any() else 0 for g in gaps)


def scipy_max_test(scores: np.ndarray, pairs: Pairs) -> float:
    """P-value of the largest statistic of ``pairs``, scipy trying every sign vector.

    It swaps places 1, 2, ... with -1, -2, ...; what stays positive keeps its sign.
    """
    places = np.arange(1, scores.shape[1] + 1)

    def statistic(first: np.ndarray, second: np.ndarray) -> float:
        return largest(scores[:, np.abs(first) - 1], pairs, np.sign(first))

    return float(
        scipy.stats.permutation_test(
            (places, -places),
            statistic,
            permutation_type="samples",
            vectorized=False,
            n_resamples=10_000,
            alternative="greater",
        ).pvalue
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_all_pairs_and_the_best(seed: int) -> None:
    scores = np.clip(f1_like((3, 8), seed) + np.array([[0.5], [0.2], [0]]), 0, 1.5)
    family = compare_all(flip(scores))
    pairs = list(combinations(range(3), 2))
    own = {pair: largest(scores, [pair], np.ones(8)) for pair in pairs}
    left, running = sorted(pairs, key=lambda pair: -own[pair]), 0.0
    while left:
        running = max(running, scipy_max_test(scores, left))
        assert family.pairs[left.pop(0)] == EXACT(running, abs=CLOSE)
    rows, running = {0, 1, 2}, 0.0
    while len(rows) > 1:
        there = [pair for pair in pairs if set(pair) <= rows]
        running = max(running, scipy_max_test(scores, there))
        out = min(max(there, key=lambda pair: own[pair]), key=lambda row: scores[row].mean())
        assert family.best[out] == EXACT(running, abs=CLOSE)
        rows.remove(out)
    assert family.best[rows.pop()] == 1


def random_signs(n: int, draws: int, seed: int) -> np.ndarray:
    """The documented stream: bits of 8-byte words, 1 keeps a sign, after the sample itself."""
    rng = np.random.default_rng(seed)
    rows = [np.ones(n)]
    for _ in range(draws):
        byte = rng.bytes(8 * ((n + 63) // 64))
        bits = [(b >> (7 - k)) & 1 for b in byte for k in range(8)][:n]
        rows.append(2.0 * np.array(bits) - 1)
    return np.array(rows)


def test_p_values_of_many_questions_from_the_documented_stream() -> None:
    scores = f1_like((4, 41), 5) + np.array([[0.3], [0.0], [0.1], [0.1]])
    signs = random_signs(41, 300, seed=7)
    family = compare_all(flip(scores, 300, 7))
    pairs = list(combinations(range(4), 2))
    drawn = [largest(scores, pairs, row) for row in signs]
    ranked = sorted(drawn, reverse=True)
    assert family.critical == EXACT(ranked[int(0.05 * 301)], abs=CLOSE)
    expected = np.mean([value >= drawn[0] - CLOSE for value in drawn])
    assert family.pairs.min() == EXACT(expected, abs=CLOSE)
    gaps = signs @ (scores[0] - scores[1])
    expected = np.mean(np.abs(gaps) >= abs(gaps[0]) - CLOSE)
    assert paired_randomisation_test(scores[0], scores[1], 300, 7) == EXACT(expected, abs=CLOSE)


def test_a_mean_over_tasks_is_tested_on_the_flips_of_its_tasks() -> None:
    tasks = [f1_like((3, 20), 1) + 0.2 * np.eye(3)[0][:, None], f1_like((3, 31), 2)]
    family = compare_all(average([flip(task, 400, seed) for seed, task in enumerate(tasks)]))
    signs = [random_signs(task.shape[1], 400, seed) for seed, task in enumerate(tasks)]
    drawn = []
    for b in range(401):
        values = []
        for i, j in combinations(range(3), 2):
            gaps = [(task[i] - task[j]) / task.shape[1] for task in tasks]
            total = sum((s[b] * g).sum() for s, g in zip(signs, gaps, strict=True))
            values.append(abs(total) / np.sqrt(sum((g**2).sum() for g in gaps)))
        drawn.append(max(values))
    expected = np.mean([value >= drawn[0] - CLOSE for value in drawn])
    assert family.pairs.min() == EXACT(expected, abs=CLOSE)


def test_the_critical_value_is_tukeys_for_rows_of_normal_noise() -> None:
    rows = np.random.default_rng(0).normal(0, 1, (8, 2000))
    tukey = scipy.stats.studentized_range.ppf(0.95, 8, np.inf) / 2**0.5
    assert compare_all(flip(rows)).critical == pytest.approx(tukey, rel=0.02)


def test_the_smallest_difference() -> None:
    scores = f1_like((3, 50), 3)
    flips = flip(scores)
    family = compare_all(flips)
    gaps = [scores[i] - scores[j] for i, j in combinations(range(3), 2)]
    errors = [np.sqrt(scipy.stats.sem(gap) ** 2 + 1 / (50 * 49)) for gap in gaps]
    u = family.critical
    t = u * (49 / (50 - u**2)) ** 0.5
    expected = (t + scipy.stats.norm.ppf(0.8)) * np.median(errors)
    assert smallest_difference(flips, family) == EXACT(expected, abs=CLOSE)


def test_intervals_over_seeds() -> None:
    means, questions = [0.31, 0.28, 0.35], mean_cis([f1_like((60,))])[0]
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(means), scale=scipy.stats.sem(means))
    centre, half = np.mean(means), (high - low) / 2
    expected = (
        centre - np.hypot(centre - questions.low, half),
        centre + np.hypot(questions.high - centre, half),
    )
    assert hierarchical_ci(questions, means) == EXACT(expected, abs=CLOSE)
