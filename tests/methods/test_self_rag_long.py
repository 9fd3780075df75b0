"""Self-RAG's long form: a tree of segments, scored by hand."""

from __future__ import annotations

import pytest

from harness.llm.requests import Reply
from tests.methods.self_rag_lab import (
    FULL,
    IRR,
    NO_RET,
    NONE,
    REL,
    RET,
    USE,
    ask,
    notes,
    said,
    scripted,
    wants,
)


def segment(text: str, relevance: float, *, more: bool = False, mark: str = "") -> Reply:
    """A segment whose score is its relevance; ``more`` asks for passages after it."""
    end = [(RET, {RET: 0.9, NO_RET: 0.1})] if more else []
    marked = [(mark, {})] if mark else []
    return said((REL, {REL: relevance, IRR: 1 - relevance}), text, *marked, *end)


def script(lighthouse: list[Reply], grey_sea: list[Reply]):
    """Replies to two passages, in the order of the prompts; the beam's best comes first."""
    first = {"### Response:\n[No Retrieval]": said("alone"), "### Response:\n": wants(0.9)}
    return scripted(
        {"<paragraph>Lighthouse\n": lighthouse, "<paragraph>Grey Sea\n": grey_sea, **first}
    )


def run(model, **params):
    defaults = {"retriever": "bm25", "k": 2, "form": "long", "mode": "always"}
    return ask("self-rag", model, **{**defaults, **params})


def scores(found) -> list[float]:
    return [note["score"] for note in notes(found, "critique")]


def test_the_best_product_of_scores_wins():
    # Depth 1: A .5 and B .4. Depth 2: A-L .1, A-G .15, B-L .36, B-G .08.
    found = run(
        script(
            [segment("A.", 0.5, more=True), segment("AL.", 0.2), segment("BL.", 0.9)],
            [segment("B.", 0.4, more=True), segment("AG.", 0.3), segment("BG.", 0.2)],
        )
    )
    assert found.answer == "B. BL."
    assert scores(found) == pytest.approx([0.5, 0.4, 0.2, 0.3, 0.9, 0.2])
    assert (found.usage.llm_calls, found.usage.retrievals) == (6, 1)
    assert found.raw == "[Relevant]B.[Relevant]BL."
    assert found.ranked_ids == ["d0", "d4"]


def test_a_beam_of_one_is_greedy():
    found = run(
        script(
            [segment("A.", 0.5, more=True), segment("AL.", 0.2)],
            [segment("B.", 0.4, more=True), segment("AG.", 0.3)],
        ),
        beam_width=1,
    )
    assert found.answer == "A. AG."
    assert found.usage.llm_calls == 4


def test_what_was_said_goes_before_the_next_passage_and_the_old_passage_not():
    model = script(
        [segment("A.", 0.5, more=True), segment("AL.", 0.2)],
        [segment("B.", 0.4), segment("AG.", 0.9)],
    )
    run(model, beam_width=1)
    assert model.requests[3].prompt.endswith(
        "### Response:\n[Relevant]A.[Retrieval]<paragraph>Grey Sea\n"
        "The Grey Sea is shallow; ships call at Oster and at Vell.</paragraph>"
    )
    assert all(request.stop == (RET,) for request in model.requests)


def test_a_finished_draft_stays_in_the_beam():
    # The finished B .4 beats both children of A, .5 x .2 and .5 x .3.
    found = run(
        script(
            [segment("A.", 0.5, more=True), segment("AL.", 0.2)],
            [segment("B.", 0.4), segment("AG.", 0.3)],
        )
    )
    assert found.answer == "B."
    assert found.usage.llm_calls == 4


def test_one_segment_needs_no_second_depth():
    found = run(script([segment("A.", 0.5)], [segment("B.", 0.6)]))
    assert (found.answer, found.usage.llm_calls) == ("B.", 2)


def test_the_depth_ends_what_never_ends():
    endless = [segment(f"{n}.", 0.5, more=True) for n in range(20)]
    found = run(script(endless, endless[:]), max_depth=3)
    assert found.answer.count(".") == 3
    assert found.usage.llm_calls == 2 + 4 + 4


def test_utility_counts_in_the_segment_that_has_it():
    with_use = said((REL, {REL: 0.5, IRR: 0.5}), "A.", (USE[4], {USE[4]: 1.0}))
    found = run(script([with_use], [segment("B.", 0.9)]))
    assert scores(found) == pytest.approx([1.0, 0.9])
    assert found.answer == "A."


def test_tokens_after_the_segment_do_not_count():
    late = said(
        (REL, {REL: 0.5, IRR: 0.5}), "A.", (RET, {RET: 1.0}), (FULL, {FULL: 1.0}), "not this"
    )
    found = run(script([late, segment("AL.", 0.1)], [segment("B.", 0.1), segment("AG.", 0.9)]))
    assert scores(found)[0] == pytest.approx(0.5)
    assert found.answer == "A. AG."


def test_negative_scores_count_as_0_in_the_product():
    bad = said((IRR, {IRR: 1.0}), "A.", (USE[0], {USE[0]: 1.0}), (RET, {RET: 1.0}))
    also = said((IRR, {IRR: 1.0}), "AL.", (USE[0], {USE[0]: 1.0}))
    # As a plain product two wrongs, -.5 x -.5 = .25, would beat B.
    found = run(script([bad, also], [segment("B.", 0.2), segment("AG.", 0.1)]))
    assert scores(found)[0] == pytest.approx(-0.5)
    assert found.answer == "B."


@pytest.mark.parametrize(("ignore", "answer"), [(False, "A. AL."), (True, "A.")])
def test_contradicted_segments_may_be_left_out(ignore, answer):
    found = run(
        script(
            [segment("A.", 0.9, more=True), segment("AL.", 0.9, mark=NONE)],
            [segment("B.", 0.1), segment("AG.", 0.1)],
        ),
        ignore_contradictions=ignore,
    )
    assert found.answer == answer
    assert NONE in found.raw


@pytest.mark.parametrize(
    ("mode", "p", "answer"),
    [("adaptive", 0.3, "A. AG."), ("adaptive", 0.2, "A.B."), ("always", 0.3, "A. AG.")],
)
def test_no_retrieval_inside_an_answer_is_held_against_the_threshold(mode, p, answer):
    unsure = said((REL, {REL: 0.9, IRR: 0.1}), "A.", (NO_RET, {RET: p, NO_RET: 1 - p}), "B.")
    found = run(
        script([unsure, segment("AL.", 0.1)], [segment("C.", 0.1), segment("AG.", 0.9)]), mode=mode
    )
    assert found.answer.replace("A. B.", "A.B.") == answer


@pytest.mark.parametrize(
    ("reply", "p", "retrieves"),
    [
        (("Well,", RET), 0.21, True),
        (("Well,", RET), 0.2, False),
        (("Well,",), 0.9, False),
        (("Well,", "\n\n", RET), 0.9, False),
        ((RET,), 0.21, True),
    ],
)
def test_the_model_must_say_that_it_wants_passages_and_mean_it(reply, p, retrieves):
    # The share counts at the first token, whichever that is.
    first = said((reply[0], {RET: p, NO_RET: 1 - p}), *reply[1:])
    passages = {"<paragraph>": segment("A.", 0.5)}
    model = scripted({**passages, "[No Retrieval]": said("alone"), "": first})
    found = run(model, mode="adaptive")
    assert (found.usage.retrievals, found.answer) == ((1, "A.") if retrieves else (0, "alone"))
    assert model.requests[0].max_tokens == 25
    (note,) = notes(found, "retrieval decision")
    assert note["probability"] == pytest.approx(p)
    assert note.get("said", True) == (RET in said(*reply).text.split("\n\n")[0])


def test_without_passages_a_long_answer_ends_at_a_blank_line():
    model = scripted({"[No Retrieval]": said("One.\nTwo.", "\n\n", "Three."), "": wants(0.1)})
    assert run(model, mode="adaptive").answer == "One. Two."


def test_the_model_may_decide_against_retrieval():
    model = scripted({"[No Retrieval]": said("One.\n", "Two.", USE[4]), "": wants(0.2)})
    found = run(model, mode="adaptive")
    assert (found.answer, found.usage.retrievals, found.usage.llm_calls) == ("One. Two.", 0, 2)


def test_the_sequence_score_counts_if_asked_for():
    def sure(text: str, p: float) -> Reply:
        return said((REL, {REL: 0.5, IRR: 0.5}), text, p=p)

    replies = [sure("A.", 0.25)], [sure("B.", 0.75)]
    assert scores(run(script(*replies))) == pytest.approx([0.5, 0.5]), "not by default"
    found = run(script(*replies), sequence_score=True)
    assert scores(found) == pytest.approx([0.75, 1.25])
    assert found.answer == "B."
