"""All rows of a table compared: levels, power, ranks, letters, speed and memory."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from harness.metrics.statistics import (
    ALPHA,
    Family,
    compare_all,
    compare_pair,
    flip,
    holm,
    letters,
    mcnemar,
    paired_randomisation_test,
    rank_intervals,
    resampling,
    smallest_difference,
)
from harness.metrics.statistics.family import average

pytestmark = pytest.mark.numeric
QUICK = settings(deadline=None, max_examples=20)


def scores(n: int, mean: float = 0.5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).beta(2 * mean, 2 * (1 - mean), n)


def behind(best: np.ndarray, errors: float) -> np.ndarray:
    """Scores whose mean is lower than the best by so many standard errors of the difference."""
    noise = np.random.default_rng(9).normal(0, 0.1, best.size)
    gap = errors * noise.std(ddof=1) / best.size**0.5
    return best - (noise - noise.mean()) - gap


def bold(*rows: np.ndarray) -> list[bool]:
    """Of each row whether it may be the best."""
    return (compare_all(flip(np.array(rows))).best > ALPHA).tolist()


def test_rows_that_may_be_the_best() -> None:
    best = scores(400)
    assert bold(best, behind(best, 1), behind(best, 5)) == [True, True, False]
    assert bold(best) == [True]
    assert bold(best, best) == [True, True]
    family = compare_all(flip(np.array([best, behind(best, 1), behind(best, 5)])))
    assert family.best[0] == 1 and family.best[2] <= 3 / 10_001


def test_bad_rows_do_not_protect_those_in_the_middle() -> None:
    """Once the bad ones are gone, the close one is tested beside the best alone."""
    best = scores(200)
    close = behind(best, 2.3)
    assert bold(best, close) == [True, False]
    assert bold(best, close, *(scores(200, 0.1, seed) for seed in range(1, 6)))[:2] == [True, False]


def test_the_whole_family_counts() -> None:
    best = scores(200)
    rivals = [best - (r := np.random.default_rng(s).normal(0, 0.1, 200)) + r.mean() for s in (1, 2)]
    rivals = [row - 2.15 * 0.1 / 200**0.5 for row in rivals]
    assert bold(best, rivals[0]) == [True, False]
    assert bold(best, *rivals)[0] and any(bold(best, *rivals)[1:])


@QUICK
@given(st.data(), st.integers(2, 5), st.integers(1, 12))
def test_properties(data: st.DataObject, m: int, n: int) -> None:
    cells = st.sampled_from([0, 0.25, 1 / 3, 1])
    rows = data.draw(hnp.arrays(np.float64, (m, n), elements=cells))
    flips = flip(rows, resamples=300)
    family = compare_all(flips)
    places = rank_intervals(family, flips.means)
    marks = letters(family, flips.means)
    assert family.best.max() == 1 and (family.pairs == family.pairs.T).all()
    assert (family.pairs > 0).all() and (family.best > 0).all()
    top = [i for i in range(m) if family.best[i] > ALPHA]
    assert all(family.pairs[i, j] > ALPHA for i in top for j in top)
    assert int(np.argmax(flips.means)) in top
    assert all((places[i][0] == 1) == (i in top) or i not in top for i in range(m))
    for i in range(m):
        assert 1 <= places[i][0] <= places[i][1] <= m
        assert ("a" in marks[i]) >= (i in top)
        for j in range(m):
            shared = bool(set(marks[i]) & set(marks[j]))
            assert shared == (family.pairs[i, j] > ALPHA)


def test_letters_and_ranks_of_a_chain() -> None:
    """The first differs from the third, the second from neither."""
    pairs = np.array([[1, 0.4, 0.01], [0.4, 1, 0.3], [0.01, 0.3, 1]])
    family = Family(pairs, np.array([1, 0.4, 0.01]), 0.0)
    means = np.array([0.3, 0.2, 0.1])
    assert letters(family, means) == ["a", "ab", "b"]
    assert rank_intervals(family, means) == [(1, 2), (1, 3), (2, 3)]
    back = Family(pairs[::-1, ::-1], family.best[::-1], 0.0)
    assert letters(back, means[::-1]) == ["b", "ab", "a"]


def test_more_letters_than_the_alphabet_has() -> None:
    rows = np.arange(30)[:, np.newaxis] + np.random.default_rng(0).normal(0, 0.01, (30, 40))
    flips = flip(rows, resamples=500)
    marks = letters(compare_all(flips), flips.means)
    assert len(set(marks)) == 30 and marks[29] == "a" and marks[0] == "d1"


def test_the_smallest_difference_is_shown_in_four_of_five_samples() -> None:
    rng = np.random.default_rng(0)
    shown, expected = [], []
    for number in range(250):
        rows = rng.normal(0, 0.3, (4, 120))
        flips = flip(rows, 400, number)
        gap = smallest_difference(flips, compare_all(flips))
        expected.append(gap)
        rows[0] += np.median(expected)
        shown.append(compare_all(flip(rows, 400, number)).pairs[0, 1] <= ALPHA)
    # The step-down test is a little more powerful than its first step.
    assert 0.75 <= np.mean(shown) <= 0.9


@pytest.mark.parametrize("n", [1, 4, 5])
def test_few_questions_show_nothing(n: int) -> None:
    rows = np.stack([np.ones(n), np.zeros(n)])
    flips = flip(rows)
    family = compare_all(flips)
    assert smallest_difference(flips, family) is None
    assert (family.best > ALPHA).all()


def test_rows_that_hardly_differ_do_not_look_sure() -> None:
    """One of 8 questions tells them apart, a little: that is no fine scale."""
    rows = np.zeros((3, 8))
    rows[0, 0] = 0.25
    for few in (rows, np.zeros((2, 8))):
        flips = flip(few)
        assert smallest_difference(flips, compare_all(flips)) > 0.3
    alone = flip(np.ones((1, 40)))
    assert smallest_difference(alone, compare_all(alone)) is None


def test_an_average_of_tasks_weighs_each_the_same() -> None:
    small, large = np.random.default_rng(0).random((2, 3, 30))[0], scores(300).reshape(3, 100)
    flips = average([flip(small, 200, 0), flip(large, 200, 1)])
    expected = (small.mean(axis=1) + large.mean(axis=1)) / 2
    assert flips.means - flips.means[0] == pytest.approx(expected - expected[0])
    some = flips.of([2, 0])
    assert some.means == pytest.approx(flips.means[[2, 0]])
    assert compare_all(some).pairs[0, 1] == compare_all(flips.of([0, 2])).pairs[0, 1]


def test_chunks_change_nothing(monkeypatch) -> None:
    rows = np.random.default_rng(0).random((5, 50))
    whole = compare_all(flip(rows, 1000))
    monkeypatch.setattr(resampling, "CHUNK_CELLS", 333)
    parts = compare_all(flip(rows, 1000))
    assert (parts.pairs == whole.pairs).all() and (parts.best == whole.best).all()
    assert parts.critical == pytest.approx(whole.critical)


@QUICK
@given(st.data(), st.integers(1, 30))
def test_randomisation_test_properties(data: st.DataObject, n: int) -> None:
    array = hnp.arrays(np.float64, n, elements=st.sampled_from([0, 0.25, 1 / 3, 1]))
    a, b = data.draw(array), data.draw(array)
    p = paired_randomisation_test(a, b, resamples=500)
    assert 1 / 501 <= p <= 1
    assert paired_randomisation_test(b, a, resamples=500) == p
    assert paired_randomisation_test(a, a, resamples=500) == 1


def test_smallest_p_value_is_never_zero() -> None:
    assert paired_randomisation_test(np.ones(100), np.zeros(100)) == 1 / 10_001


def test_a_pair_says_who_won_and_by_how_much() -> None:
    pair = compare_pair([0.5, 0.2, 1.0, 0.0], [0.7, 0.2, 0.9, 0.4])
    assert (pair.won, pair.lost, pair.superiority) == (2, 1, 0.625)
    assert pair.difference == pytest.approx(0.125) and pair.test == "randomisation"
    same = compare_pair([0.0, 1.0], [0.0, 1.0])
    assert (same.effect, same.p_value, same.test) == (None, 1.0, "McNemar")
    assert compare_pair([0.5, 1.0], [0.5, 0.0]).test == "randomisation"


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


@pytest.mark.parametrize(
    "call",
    [
        lambda: flip([]),
        lambda: flip([0.1]),
        lambda: flip([[0.1, float("inf")]]),
        lambda: flip([[0.1, 0.2]], resamples=0),
        lambda: paired_randomisation_test([0.1], [0.1, 0.2]),
        lambda: holm([1.5]),
        lambda: mcnemar(-1, 2),
    ],
)
def test_wrong_input_is_refused(call) -> None:
    with pytest.raises(ValueError, match=r"need|not|must"):
        call()


def test_a_full_table_takes_a_moment_and_little_memory() -> None:
    """8 methods, 3,610 questions, 10,000 draws: at most 3 s of one core (0.1 s where written)."""
    rows = np.random.default_rng(0).random((8, 3610))
    start = time.process_time()
    compare_all(flip(rows))
    assert time.process_time() - start < 3
    tracemalloc.start()
    compare_all(flip(rows, resamples=2000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6
