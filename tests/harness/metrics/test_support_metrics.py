"""Support metrics: values by hand from the official scripts' formulas, and an oracle of counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import Documents, Rules, score_answer
from harness.metrics.answer import exact_match, token_f1
from harness.metrics.support import joint_em, joint_f1, support_em, support_f1

NAMES = ("support_em", "support_f1", "joint_em", "joint_f1")
IDS = st.lists(st.sampled_from("abcdef"), unique=True)


def counted(named: list[str], gold: list[str]) -> tuple[float, float]:
    """Precision and recall of true and false positives and negatives, one id at a time."""
    true = sum(id_ in gold for id_ in named)
    false, missed = len(named) - true, sum(id_ not in named for id_ in gold)
    precision = true / (true + false) if true + false else 0.0
    return precision, true / (true + missed)


def harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_values_by_hand() -> None:
    # Two of three named are gold, of two: precision 2/3, recall 1.
    assert support_f1(["a", "b", "x"], ["b", "a"]) == pytest.approx(0.8)
    assert support_em(["a", "b", "x"], ["b", "a"]) == 0
    assert support_em(["b", "a"], ["a", "b"]) == support_f1(["b", "a"], ["a", "b"]) == 1
    assert support_f1([], ["a"]) == support_em([], ["a"]) == 0
    # Answer: precision 1/2, recall 1. Joint: precision 1/3, recall 1.
    joint = joint_f1(["a", "b", "x"], ["a", "b"], "Paris France", ["Paris"])
    assert joint == pytest.approx(2 * (1 / 3) / (1 / 3 + 1))
    assert joint_f1(["a"], ["a"], "no way", ["no"]) == pytest.approx(2 / 3)
    assert joint_f1(["a"], ["a"], "no way", ["no"], closed_answers=True) == 0
    assert joint_em(["a"], ["a"], "paris", ["Paris"]) == 1
    assert joint_em(["a", "x"], ["a"], "paris", ["Paris"]) == 0


@given(IDS, IDS.filter(bool), st.sampled_from(["", "yes", "a b", "a b c", "no"]))
def test_formulas_count_ids_and_tokens(named: list[str], gold: list[str], said: str) -> None:
    precision, recall = counted(named, gold)
    assert support_f1(named, gold) == pytest.approx(harmonic(precision, recall))
    assert support_em(named, gold) == (sorted(named) == sorted(gold))
    words, wanted = said.split(), ["b", "c"]  # "a" is an article
    words = [word for word in words if word != "a"]
    answer_precision, answer_recall = counted(words, wanted)
    joint = harmonic(precision * answer_precision, recall * answer_recall)
    assert joint_f1(named, gold, said, ["b c"]) == pytest.approx(joint)
    assert joint_f1(gold, gold, said, ["b c"]) == pytest.approx(token_f1(said, ["b c"]))
    assert joint_em(gold, gold, said, ["b c"]) == exact_match(said, ["b c"])


def test_a_method_that_names_nothing_has_no_support_score() -> None:
    read = Documents(["a"], ["a"], ["a"])
    for documents in (None, read):
        scores = score_answer("x", documents, ["x"], ["a"], added=NAMES)
        assert [scores[name] for name in NAMES] == [None] * 4
    named = Documents(["a", "b"], ["a", "b"], ["a", "b"], support=["a"])
    scores = score_answer("x", named, ["x"], ["a"], added=NAMES)
    assert [scores[name] for name in NAMES] == [1] * 4
    without_gold = score_answer("x", named, ["x"], [], added=NAMES)
    assert [without_gold[name] for name in NAMES] == [None] * 4


def test_the_joint_score_keeps_the_rule_for_closed_answers() -> None:
    named = Documents(support=["a"])
    for closed, joint in ((False, 2 / 3), (True, 0)):
        rules = Rules(closed_answers=closed)
        scores = score_answer("no way", named, ["no"], ["a"], rules=rules, added=["joint_f1"])
        assert scores["joint_f1"] == pytest.approx(joint)
