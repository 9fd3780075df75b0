"""Answer metrics against FlashRAG's classes, and the differences that are meant."""

from __future__ import annotations

from functools import partial
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.answer import contains, exact_match, normalise, token_f1

flashrag_metrics = pytest.importorskip("flashrag.evaluator.metrics")
CONFIG = {"dataset_name": "hotpotqa"}
FLASHRAG_EM = flashrag_metrics.ExactMatch(CONFIG).calculate_em
FLASHRAG_F1 = flashrag_metrics.F1_Score(CONFIG).token_level_scores
FLASHRAG_CONTAINS = flashrag_metrics.Sub_ExactMatch(CONFIG).calculate_sub_em

# Few distinct words, so that overlaps, repeats, articles and closed answers are common.
WORDS = st.sampled_from(
    ["a", "an", "the", "The", "yes", "no", "noanswer", "No.", "Paris", "paris,", "1984", "U.S.",
     "jean-luc", "Zoë", "Straße", "İzmir", "东京", "—", "'s", "cat", "cats", "\t", "\n"]
)  # fmt: skip
PHRASES = st.lists(WORDS, max_size=6).map(" ".join)
TEXTS = st.one_of(PHRASES, PHRASES, st.text(max_size=12))
GOLDS = st.lists(TEXTS.filter(normalise), max_size=4)
PAIRS = 3_000
# FlashRAG has HotpotQA's rule for every dataset.
flashrag_f1 = partial(token_f1, closed_answers=True)
PREDICTIONS = st.lists(TEXTS, min_size=16, max_size=16)
QUESTIONS = st.lists(GOLDS, min_size=4, max_size=4)
EACH = 16 * 4
"""Pairs of an example: every prediction is scored for every question."""


@settings(max_examples=-(-PAIRS // EACH), deadline=None, database=None, derandomize=True)
@given(PREDICTIONS, QUESTIONS)
def check_against_flashrag(
    checked: list[int], predictions: list[str], questions: list[list[str]]
) -> None:
    for prediction, golds in product(predictions, questions):
        assert exact_match(prediction, golds) == FLASHRAG_EM(prediction, golds)
        assert contains(prediction, golds) == FLASHRAG_CONTAINS(prediction, golds)
        theirs = FLASHRAG_F1(prediction, golds)["f1"]
        assert abs(flashrag_f1(prediction, golds) - theirs) < 1e-12
        checked.append(1)


@pytest.mark.slow
def test_equal_to_flashrag_on_thousands_of_pairs() -> None:
    checked: list[int] = []
    check_against_flashrag(checked)
    assert len(checked) >= PAIRS


@pytest.mark.parametrize(
    ("measure", "oracle", "prediction", "gold", "ours", "theirs"),
    [
        # A gold of which nothing is left: theirs is right for any prediction or for none.
        (exact_match, FLASHRAG_EM, "", "", 0, 1),
        (exact_match, FLASHRAG_EM, "", "!", 0, 1),
        (exact_match, FLASHRAG_EM, "the", "A", 0, 1),
        (contains, FLASHRAG_CONTAINS, "", "", 0, 1),
        (contains, FLASHRAG_CONTAINS, "anything", "", 0, 1),
        (contains, FLASHRAG_CONTAINS, "anything", "The", 0, 1),
        # The same text in another case: EM agrees, theirs gives no F1.
        (flashrag_f1, lambda p, g: FLASHRAG_F1(p, g)["f1"], "the the", "The The", 1, 0),
    ],
)
def test_known_differences(measure, oracle, prediction, gold, ours, theirs) -> None:
    assert measure(prediction, [gold]) == ours
    assert oracle(prediction, [gold]) == theirs


def test_blank_golds_agree_where_flashrag_is_consistent() -> None:
    assert exact_match("The The", ["the the"]) == FLASHRAG_EM("The The", ["the the"]) == 1
    assert flashrag_f1("", [""]) == FLASHRAG_F1("", [""])["f1"] == 0
    assert contains(" a ", ["A"]) == 1


def test_golds_of_trec_are_plain_text_not_patterns() -> None:
    assert exact_match("19x4", ["19.4"]) == 0
    trec = flashrag_metrics.ExactMatch({"dataset_name": "curatedtrec"})
    assert trec.calculate_em("19x4", ["19.4"]) == 1
