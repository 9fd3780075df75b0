"""Silver labels, bias labels and the held-out part: pure functions."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Question
from methods.adaptive_rag.labels import (
    Labelled,
    bias_labels,
    hold_out,
    hop_label,
    is_multi_hop,
    sample,
)
from methods.adaptive_rag.method import is_correct
from tests.methods.adaptive_lab import question


@pytest.mark.parametrize(
    ("answer", "error", "correct"),
    [
        ("yes 3", None, True),
        ("The YES, 3.", None, True),
        ("Yes", None, True),
        ("yes 3 indeed", None, False),
        ("", None, False),
        ("yes 3", "ValueError: x", False),
    ],
)
def test_correct_is_normalised_equality_with_any_gold(answer, error, correct):
    gold = Question("q", "?", ("Yes 3", "yes"))
    assert is_correct({"answer": answer, "error": error}, gold) is correct


@pytest.mark.parametrize(
    ("metadata", "multi_hop"),
    [
        ({"hops": 1}, False),
        ({"hops": 2}, True),
        ({"hops": 4}, True),
        ({}, False),
        ({"hops": "2"}, False),
        ({"hops": None}, False),
    ],
)
def test_two_hops_are_many_and_an_unknown_number_is_one(metadata, multi_hop):
    assert is_multi_hop(Question("q", "?", ("x",), (), metadata)) == multi_hop


@pytest.mark.parametrize(
    ("hops", "label"),
    [([1], "B"), ([2], "C"), ([1, 2], "B"), ([1, 2, 3], "C"), ([None, None, 2], "B"), ([], "B")],
)
def test_most_questions_decide_the_hop_type_of_a_dataset(hops, label):
    assert hop_label([question(n, hops=h) for n, h in enumerate(hops)]) == label


def test_bias_labels_are_of_the_first_questions_of_each_dataset():
    single = [question(n, hops=1, prefix="s") for n in range(4)]
    multi = [question(n, hops=2, prefix="m") for n in range(4, 7)]
    labelled = bias_labels([single, multi], 2, set())
    assert [(e.id, e.label) for e in labelled] == [
        ("s0", "B"),
        ("s1", "B"),
        ("m4", "C"),
        ("m5", "C"),
    ]
    assert labelled[0].text == "look what is common 0 ?"


def test_the_whole_dataset_decides_the_label_of_its_first_questions():
    train = [question(0, hops=1), question(1, hops=2), question(2, hops=2)]
    assert [(e.id, e.label) for e in bias_labels([train], 1, set())] == [("t0", "C")]


def test_silver_questions_get_no_bias_label_and_are_not_made_up_for():
    train = [question(n) for n in range(5)]
    assert [e.id for e in bias_labels([train], 3, {"t1"})] == ["t0", "t2"]


def test_a_question_of_two_datasets_is_labelled_as_in_the_first():
    first, again = [question(0, hops=1)], [question(0, hops=2), question(1, hops=2)]
    assert [(e.id, e.label) for e in bias_labels([first, again], 9, set())] == [
        ("t0", "B"),
        ("t1", "C"),
    ]


def test_a_question_of_two_datasets_is_known_by_its_text():
    """NQ's and MuSiQue's ids differ, and so may the spelling."""
    first = Question("nq_7", "Who wrote Hamlet?", ("x",), (), {"hops": 1})
    again = Question("2hop_9", "who wrote  \u201cHamlet\u201d", ("x",), (), {"hops": 2})
    assert [(e.id, e.label) for e in bias_labels([[first], [again]], 9, set())] == [("nq_7", "B")]


def test_the_sample_has_the_smallest_hashes_whatever_the_order():
    train = [question(n) for n in range(20)]
    hashes = sorted(sha256(q.id.encode()).hexdigest() for q in train)[:3]
    found = sample(train, 3)
    assert [sha256(q.id.encode()).hexdigest() for q in found] == hashes
    assert sample(train[::-1], 3) == found
    assert sample(train, 7)[:3] == found


def test_the_held_out_part_is_a_fixed_share():
    labelled = [Labelled(f"t{n}", "?", "A") for n in range(1000)]
    train, validation = hold_out(labelled, 0.2)
    assert len(train) + len(validation) == 1000
    assert 160 < len(validation) < 240
    assert hold_out(labelled[::-1], 0.2) == (train[::-1], validation[::-1])


def test_nothing_is_held_out_of_a_share_of_nothing():
    labelled = [Labelled(f"t{n}", "?", "A") for n in range(50)]
    assert hold_out(labelled, 0.0) == (labelled, [])
    assert hold_out([], 0.5) == ([], [])


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(0, 30))
def test_no_question_has_both_kinds_of_label(silver, other, most):
    datasets = [[question(n) for n in sorted(ids)] for ids in (silver | other, other)]
    taken = {f"t{n}" for n in silver}
    ids = [e.id for e in bias_labels(datasets, most, taken)]
    assert not taken & set(ids)
    assert len(set(ids)) == len(ids) <= 2 * most
