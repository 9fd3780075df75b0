"""Answer metrics: known values and properties."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.metrics import Documents, Rules, check_metrics, is_added, score_answer
from harness.metrics.answer import (
    contains,
    contains_words,
    exact_match,
    exact_match_folded,
    exact_match_triviaqa,
    normalise,
    normalise_triviaqa,
    token_f1,
    token_f1_triviaqa,
)

WORDS = st.sampled_from(["a", "the", "The", "yes", "No.", "Paris", "paris,", "U.S.", "cat"])
TEXTS = st.one_of(st.lists(WORDS, max_size=6).map(" ".join), st.text(max_size=12))
MEASURES = (
    exact_match, token_f1, contains, contains_words, exact_match_folded, exact_match_triviaqa,
    token_f1_triviaqa,
)  # fmt: skip


@given(TEXTS, st.lists(TEXTS, max_size=4), TEXTS)
@settings(deadline=None)
def test_ranges_order_and_monotony(prediction: str, golds: list[str], more: str) -> None:
    for measure in MEASURES:
        score = measure(prediction, golds)
        assert 0 <= score <= 1
        assert measure(prediction, golds[::-1]) == score
        assert measure(prediction, [*golds, more]) >= score
    assert exact_match(prediction, golds) <= min(
        token_f1(prediction, golds),
        contains(prediction, golds),
        contains_words(prediction, golds),
        exact_match_folded(prediction, golds),
    )
    assert exact_match(prediction, golds) <= token_f1(prediction, golds, closed_answers=True)
    assert token_f1(prediction, golds, closed_answers=True) <= token_f1(prediction, golds)
    assert contains_words(prediction, golds) <= contains(prediction, golds)
    assert exact_match_triviaqa(prediction, golds) <= token_f1_triviaqa(prediction, golds)


def test_known_values() -> None:
    assert normalise("  The  Eiffel-Tower, (Paris)! ") == "eiffeltower paris"
    assert token_f1("Paris France", ["Paris"]) == pytest.approx(2 / 3)
    assert token_f1("Paris", ["London", "Paris"]) == 1
    assert token_f1("no way", ["no"]) == pytest.approx(2 / 3)
    assert token_f1("no way", ["no"], closed_answers=True) == 0
    assert token_f1("yes", ["yes it is"], closed_answers=True) == 0
    assert token_f1("yes", ["No", "Yes."], closed_answers=True) == 1
    assert token_f1("cat cat", ["cat"]) == pytest.approx(2 / 3)
    assert contains("It was Paris.", "paris") == exact_match("Paris", "paris") == 1
    assert exact_match("x", []) == token_f1("x", []) == contains("x", []) == 0


def test_triviaqa_makes_a_space_of_what_is_punctuation() -> None:
    # By hand from the rules of the official script, evaluation/triviaqa_evaluation.py.
    assert (
        normalise_triviaqa("The_Spider-Man\u2019s \u2018Web\u2019, an `A\u00b4")
        == "spider man s web"
    )
    assert normalise("Spider-Man") == "spiderman"
    assert exact_match_triviaqa("spider man", ["Spider-Man"]) == 1
    assert exact_match("spider man", ["Spider-Man"]) == 0
    assert exact_match_triviaqa("Ol\u2019 Man River", ["Ol' Man River"]) == 1
    assert token_f1_triviaqa("jean-luc picard", ["Jean Luc"]) == pytest.approx(0.8)
    assert token_f1_triviaqa("no way", ["no"]) == pytest.approx(2 / 3)


def test_contains_is_a_substring_and_contains_words_is_not() -> None:
    assert contains("at the party", ["art"]) == 1
    assert contains_words("at the party", ["art"]) == 0
    assert contains_words("Modern art, of course", ["the Art of"]) == 1
    assert contains_words("of the art", ["art of"]) == 0


@pytest.mark.parametrize("said", ["Beyonce", "Beyonc\u00e9", "Beyonce\u0301"])
@pytest.mark.parametrize("gold", ["Beyonce", "Beyonc\u00e9", "Beyonce\u0301"])
def test_em_folded_knows_no_accents(said: str, gold: str) -> None:
    assert exact_match_folded(said, [gold]) == 1
    assert exact_match(said, [gold]) == (said == gold)


def test_score_answer_names_every_metric() -> None:
    found = Documents(ranked=["d1", "d2"], read=["d1"], retrieved=["d1", "d2", "d9"])
    scores = score_answer("Paris", found, ["paris"], ["d2", "d9"], ks=(1, 5))
    assert scores == {
        "em": 1, "f1": 1, "contains": 1,
        "recall@1": 0, "hit@1": 0, "all_gold@1": 0, "precision@1": 0,
        "recall@5": 0.5, "hit@5": 1, "all_gold@5": 0, "precision@5": 0.2,
        "recall_read": 0, "recall_retrieved": 1, "retrieved": 1,
    }  # fmt: skip
    check_metrics(["recall@5", *(name.replace("@1", "@10") for name in scores)], "here")
    assert not any(map(is_added, scores))


def test_where_any_gold_document_answers_recall_is_a_hit_and_nothing_takes_all() -> None:
    found = Documents(["d1", "d2"], ["d1"], ["d1", "d2", "d9"])
    scores = score_answer("x", found, ["y"], ["d2", "d9"], ks=(1, 5), rules=Rules(gold="any"))
    assert scores["recall@5"] == scores["hit@5"] == scores["recall_retrieved"] == 1
    assert scores["recall@1"] == scores["recall_read"] == 0
    assert scores["all_gold@5"] is None
    assert scores["precision@5"] == 0.2


def test_the_rule_for_closed_answers_is_the_tasks() -> None:
    for closed, f1 in ((False, 2 / 3), (True, 0)):
        scores = score_answer("no way", None, ["no"], [], rules=Rules(closed_answers=closed))
        assert scores["f1"] == pytest.approx(f1)


def test_without_gold_ids_or_retrieval_there_is_no_retrieval_score() -> None:
    searched = Documents(["d1"], ["d1"], ["d1"])
    for documents, gold in ((searched, []), (None, ["d1"])):
        scores = score_answer("x", documents, ["y"], gold)
        assert scores["recall@5"] is scores["all_gold@5"] is scores["precision@5"] is None
        assert scores["recall_read"] is scores["recall_retrieved"] is scores["hit@5"] is None
    assert score_answer("x", Documents(), ["y"], ["d1"])["recall@5"] == 0
    assert score_answer("x", searched, ["y"], [])["retrieved"] == 1
    assert score_answer("x", Documents(), ["y"], [])["retrieved"] == 0
    assert score_answer("x", None, ["y"], [])["retrieved"] is None


def test_a_failed_question_scores_nothing_but_what_it_had_retrieved() -> None:
    found = Documents(["d1"], ["d1"], ["d1"], ["d1"])
    added = ("em_folded", "support_em", "support_f1", "joint_em", "joint_f1")
    scores = score_answer("Paris", found, ["Paris"], ["d1"], added=added, failed=True)
    answered = score_answer("Paris", found, ["Paris"], ["d1"], added=added)
    retrieval = {name for name in scores if "@" in name or name.startswith(("recall", "retrieved"))}
    assert {scores[name] for name in scores.keys() - retrieval} == {0.0}
    assert {name: scores[name] for name in retrieval} == {n: answered[n] for n in retrieval}
    assert score_answer("", None, [""], ["d1"], failed=True)["recall@5"] is None
    assert score_answer("", Documents(), ["!"], [])["em"] == 0


def test_support_of_alternatives_is_a_contradiction() -> None:
    with pytest.raises(InputError, match="'all_gold@5' asks for all gold documents"):
        check_metrics(["all_gold@5"], "card", Rules(gold="any"))
    with pytest.raises(InputError, match="'support_f1' asks for all gold documents"):
        check_metrics(["em", "support_f1"], "task.yaml", Rules(gold="any"))
    check_metrics(["em", "support_f1"], "task.yaml", Rules())
