"""Scores and parsers of Self-RAG, as pure functions."""

from __future__ import annotations

import math

import pytest

from methods.self_rag.long_form import Draft, Segment, first_segment
from methods.self_rag.method import SelfRAG
from methods.self_rag.scores import (
    Critique,
    Weights,
    critique_of,
    retrieval_share,
    share,
    support_score,
    utility_score,
)
from methods.self_rag.tokens import first_line, one_line
from tests.methods.self_rag_lab import FULL, IRR, NO_RET, NONE, PART, REL, RET, USE, said


def test_a_share_of_nothing_is_nothing():
    assert share(0.3, 0.1) == pytest.approx(0.75)
    assert share(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("probs", "score"),
    [
        ((1, 0, 0), 1.0),
        ((0, 1, 0), 0.5),
        ((0, 0, 1), 0.0),
        ((0.1, 0.1, 0.2), 0.375),
        ((0, 0, 0), 0),
    ],
)
def test_support_counts_full_once_and_partial_half(probs, score):
    assert support_score(*probs) == pytest.approx(score)


@pytest.mark.parametrize(
    ("levels", "score"),
    [
        ((1, 0, 0, 0, 0), -1.0),
        ((0, 0, 0.4, 0, 0), 0.0),
        ((0, 0, 0, 0, 0.2), 1.0),
        ((0.1, 0.1, 0.0, 0.1, 0.2), 0.2),
        ((0, 0, 0, 0, 0), 0.0),
    ],
)
def test_utility_is_a_mean_from_minus_one_to_one(levels, score):
    assert utility_score(levels) == pytest.approx(score)


def test_the_papers_weights():
    critique = Critique(relevance=0.8, support=0.6, utility=0.5, likelihood=0.1)
    assert critique.score(Weights()) == pytest.approx(0.1 + 0.8 + 0.6 + 0.25)


def test_relevance_is_read_where_the_text_begins():
    reply = said("Oster", (REL, {REL: 0.9, IRR: 0.1}))
    assert critique_of(reply.choices).relevance == 0.0
    reply = said(("Oster", {REL: 0.2, IRR: 0.6}), (REL, {REL: 0.9, IRR: 0.1}))
    assert critique_of(reply.choices).relevance == pytest.approx(0.25)


def test_support_and_utility_are_read_where_first_emitted():
    reply = said(
        (REL, {REL: 0.5, IRR: 0.5}),
        ("Oster", {FULL: 1.0, USE[4]: 1.0}),
        (PART, {FULL: 0.2, PART: 0.6, NONE: 0.2}),
        (USE[1], {USE[1]: 0.8, USE[3]: 0.2}),
        (FULL, {FULL: 1.0}),
        (USE[4], {USE[4]: 1.0}),
    )
    found = critique_of(reply.choices)
    assert found.support == pytest.approx(0.5)
    assert found.utility == pytest.approx(-0.3)


def test_tokens_may_carry_blanks():
    reply = said((f" {FULL}", {FULL: 0.7, PART: 0.2, NONE: 0.1}))
    assert critique_of(reply.choices).support == pytest.approx(0.8)


def test_the_card_says_where_the_released_decision_turns():
    # log p / (log p + log(1 - p)) falls from 1 to 0; the command retrieves above 0.2.
    low, high = 0.5, 1.0
    for _ in range(50):
        p = (low + high) / 2
        retrieves = math.log(p) / (math.log(p) + math.log1p(-p)) > 0.2
        low, high = (p, high) if retrieves else (low, p)
    assert any(f"over about {low:.2f}" in said for said in SelfRAG.card.deviations)


def test_no_tokens_no_critique():
    assert critique_of((), likelihood=True) == Critique(0.0, 0.0, 0.0, 0.0)
    assert retrieval_share(()) == 0.0


def test_the_likelihood_is_the_geometric_mean():
    reply = said("a", "b", p=0.5)
    last = said("c", p=0.125)
    found = critique_of((*reply.choices, *last.choices), likelihood=True)
    assert found.likelihood == pytest.approx(2 ** (-5 / 3))
    assert critique_of(reply.choices).likelihood == 0.0


def test_a_ruled_out_token_makes_no_nan():
    assert math.isfinite(critique_of(said("a", p=5e-324).choices, likelihood=True).likelihood)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("   \n\t", ""),
        ("[Relevant][Utility:5]", ""),
        ("[Relevant]Oster[Fully supported][Utility:5]", "Oster"),
        ("[Relevant] St. Oster Inc.[Fully supported]", "St. Oster Inc."),
        ("[Irrelevant]\n[Utility:1]\n Oster.\nnot this", "Oster."),
        ("Oster", "Oster"),
        ("Born[No support / Contradictory]in  Oster[Utility:2] [Utility:3]", "Born in Oster"),
        ("Oster[Retrieval]<paragraph>Vell\nAn island.</paragraph>[Relevant]too", "Oster too"),
        ("Oster<paragraph>Vell is an island", "Oster"),
        ("an island</paragraph>", "an island"),
        ("[No Retrieval]Oster[Continue to Use Evidence]", "Oster"),
        ("a [Relevance] in brackets stays", "a [Relevance] in brackets stays"),
    ],
)  # fmt: skip
def test_the_first_line_without_control_tokens(text, line):
    assert first_line(text) == line


def test_a_long_answer_is_one_line():
    assert one_line("[Relevant]One.\n\nTwo.[Utility:5] Three.\n") == "One. Two. Three."
    assert one_line("[Utility:5]\n") == ""


def ends(probability: float, token: str = NO_RET):
    return (token, {RET: probability, NO_RET: 1 - probability})


def test_a_segment_ends_where_passages_are_wanted():
    reply = said(REL, "One.", FULL, ends(0.9, RET), "Two.")
    assert first_segment(reply, 1.0) == Segment(f"{REL}One.{FULL}", reply.choices[:3], True)


def test_a_segment_whose_end_was_cut_off_as_a_stop_string():
    reply = said("One.", ends(0.9, RET))
    cut = type(reply)("One.", choices=reply.choices)
    assert first_segment(cut, 1.0) == Segment("One.", reply.choices[:1], True)


@pytest.mark.parametrize(
    ("probability", "threshold", "text"),
    [(0.21, 0.2, "One."), (0.2, 0.2, None), (0.19, 0.2, None), (0.9, 1.0, None)],
)
def test_no_retrieval_ends_a_segment_only_above_the_threshold(probability, threshold, text):
    reply = said("One.", ends(probability), "Two.")
    found = first_segment(reply, threshold)
    assert found.wants_more == (text is not None)
    assert found.text == (text or reply.text)


def test_going_on_with_the_evidence_counts_as_wanting_passages_inside_an_answer():
    mark = (NO_RET, {RET: 0.1, NO_RET: 0.5, "[Continue to Use Evidence]": 0.4})
    reply = said("One.", mark, "Two.")
    # (0.1 + 0.4) / (0.1 + 0.5), as the released code has it.
    assert first_segment(reply, 0.83).wants_more
    assert not first_segment(reply, 0.84).wants_more
    assert not first_segment(said("One.", (NO_RET, {}), "Two."), 0.0).wants_more


def test_the_text_is_cut_at_the_mark_that_ended_it():
    reply = said("One.", ends(0.1), "Two.", ends(0.3), "Three.")
    found = first_segment(reply, 0.2)
    assert found.text == f"One.{NO_RET}Two."
    assert len(found.choices) == 3


def test_a_reply_without_marks_or_tokens_is_one_finished_segment():
    assert first_segment(said(), 0.2) == Segment("", (), False)
    reply = said("One.", USE[4])
    assert first_segment(reply, 0.2) == Segment(reply.text, reply.choices, False)


def test_drafts_multiply_scores_and_never_go_below_0():
    draft = Draft().then(Segment("One.", (), True), 1.5).then(Segment("Two.", (), False), 0.4)
    assert draft == Draft(("One.", "Two."), pytest.approx(0.6), True)
    assert draft.so_far == "One.Two."
    assert draft.then(Segment("", (), True), -0.5).score == 0.0


def test_contradicted_segments_are_left_out_on_request():
    draft = Draft(("One.", f"Two.{NONE}", "Three."))
    assert draft.text(ignore_contradictions=True) == "One. Three."
    assert draft.text(ignore_contradictions=False) == f"One. Two.{NONE} Three."
