"""Answer metrics: known values and properties."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics import score_answer
from harness.metrics.answer import contains, exact_match, normalise, token_f1

WORDS = st.sampled_from(["a", "the", "The", "yes", "No.", "Paris", "paris,", "U.S.", "cat"])
TEXTS = st.one_of(st.lists(WORDS, max_size=6).map(" ".join), st.text(max_size=12))


@given(TEXTS, st.lists(TEXTS, max_size=4), TEXTS)
@settings(deadline=None)
def test_ranges_order_and_monotony(prediction: str, golds: list[str], more: str) -> None:
    for measure in (exact_match, token_f1, contains):
        score = measure(prediction, golds)
        assert 0 <= score <= 1
        assert measure(prediction, golds[::-1]) == score
        assert measure(prediction, [*golds, more]) >= score
    assert exact_match(prediction, golds) <= min(
        token_f1(prediction, golds), contains(prediction, golds)
    )


def test_known_values() -> None:
    assert normalise("  The  Eiffel-Tower, (Paris)! ") == "eiffeltower paris"
    assert token_f1("Paris France", ["Paris"]) == pytest.approx(2 / 3)
    assert token_f1("Paris", ["London", "Paris"]) == 1
    assert token_f1("no way", ["no"]) == 0
    assert token_f1("yes", ["yes it is"]) == 0
    assert token_f1("cat cat", ["cat"]) == pytest.approx(2 / 3)
    assert contains("It was Paris.", "paris") == exact_match("Paris", "paris") == 1
    assert exact_match("x", []) == token_f1("x", []) == contains("x", []) == 0


def test_score_answer_names_every_metric() -> None:
    scores = score_answer("Paris", ["d1", "d2"], ["paris"], ["d2", "d9"], ks=(1, 5))
    assert scores == {
        "em": 1, "f1": 1, "contains": 1,
        "recall@1": 0, "all_gold@1": 0, "precision@1": 0,
        "recall@5": 0.5, "all_gold@5": 0, "precision@5": 0.2,
    }  # fmt: skip


def test_without_gold_ids_or_retrieval_there_is_no_retrieval_score() -> None:
    for retrieved, gold in ((["d1"], []), (None, ["d1"])):
        scores = score_answer("x", retrieved, ["y"], gold)
        assert scores["recall@5"] is scores["all_gold@5"] is scores["precision@5"] is None
    assert score_answer("x", [], ["y"], ["d1"])["recall@5"] == 0


def test_a_failed_question_scores_nothing() -> None:
    scores = score_answer("Paris", ["d1"], ["Paris"], ["d1"], failed=True)
    assert set(scores.values()) == {0.0}
    assert score_answer("", None, [""], ["d1"], failed=True)["recall@5"] is None
    assert score_answer("", [], ["!"], [])["em"] == 0
