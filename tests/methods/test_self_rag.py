"""Self-RAG's short form, with replies and probabilities written by hand."""

from __future__ import annotations

import pytest

from harness.boards.method_entry import load_method, parse_params
from harness.errors import CapabilityError, ConfigError
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.requests import Reply
from harness.records import Query
from harness.testing.models import RuleModel
from tests.harness.programs import make_engine, queries
from tests.methods.self_rag_lab import (
    FULL,
    IRR,
    NO_RET,
    NONE,
    PART,
    REL,
    RET,
    USE,
    ask,
    notes,
    said,
    scripted,
    wants,
)

LIGHTHOUSE = said(
    (REL, {REL: 0.6, IRR: 0.2}),
    "Mara Quint",
    (FULL, {FULL: 0.5, PART: 0.3, NONE: 0.2}),
    (USE[3], {USE[1]: 0.1, USE[2]: 0.2, USE[3]: 0.5, USE[4]: 0.2}),
    p=0.5,
)
GREY_SEA = said(
    (REL, {REL: 0.9, IRR: 0.1}),
    "Oster",
    (PART, {FULL: 0.1, PART: 0.6, NONE: 0.3}),
    (USE[4], {USE[3]: 0.2, USE[4]: 0.8}),
    p=0.25,
)
MARA_QUINT = said((IRR, {REL: 0.1, IRR: 0.3}), "Jon Abel", p=0.9)
# The three passages that share most words with the first question, best first.
PASSAGES = {
    "<paragraph>Lighthouse\n": LIGHTHOUSE,
    "<paragraph>Grey Sea\n": GREY_SEA,
    "<paragraph>Mara Quint\n": MARA_QUINT,
}
ALONE = {"### Response:\n[No Retrieval]": said("Jon Abel", USE[4])}
IDS = ["d0", "d4", "d1"]


def decide(p: float):
    """A script that gives [Retrieval] the share ``p`` and answers whatever follows."""
    return scripted({**PASSAGES, **ALONE, "### Response:\n": wants(p)})


def run(model, **params):
    return ask("self-rag", model, **{"retriever": "bm25", "k": 3, **params})


def test_three_passages_scored_by_hand():
    found = run(decide(0.9), sequence_score=False)
    scores = notes(found, "critique")
    assert [s["passage_id"] for s in scores] == IDS
    assert [s["relevance"] for s in scores] == pytest.approx([0.75, 0.9, 0.25])
    assert [s["support"] for s in scores] == pytest.approx([0.65, 0.4, 0.0])
    assert [s["utility"] for s in scores] == pytest.approx([0.4, 0.9, 0.0])
    assert [s["score"] for s in scores] == pytest.approx([1.6, 1.75, 0.25])
    assert found.answer == "Oster"
    assert found.raw == GREY_SEA.text
    assert found.ranked_ids == IDS
    assert list(found.support) == [IDS[1]]
    assert (found.usage.llm_calls, found.usage.retrievals) == (4, 1)


def test_weights_decide_which_answer_wins():
    found = run(decide(0.9), sequence_score=False, support_weight=2.0, utility_weight=0.0)
    assert [s["score"] for s in notes(found, "critique")] == pytest.approx([2.05, 1.7, 0.25])
    assert found.answer == "Mara Quint"


def test_without_any_weight_the_first_passage_wins():
    nothing = {"relevance_weight": 0, "support_weight": 0, "utility_weight": 0}
    assert run(decide(0.9), sequence_score=False, **nothing).answer == "Mara Quint"


def test_without_any_weight_the_likeliest_text_wins():
    nothing = {"relevance_weight": 0, "support_weight": 0, "utility_weight": 0}
    assert run(decide(0.9), **nothing).answer == "Jon Abel"


@pytest.mark.parametrize("params", [{}, {"sequence_score": True}])
def test_as_published_the_texts_own_probability_counts(params):
    found = run(decide(0.9), **params)
    scores = notes(found, "critique")
    assert [s["likelihood"] for s in scores] == pytest.approx([0.5, 0.25, 0.9])
    assert [s["score"] for s in scores] == pytest.approx([2.1, 2.0, 1.15])
    assert found.answer == "Mara Quint"


@pytest.mark.parametrize(
    ("p", "retrieves"), [(0.1, False), (0.2, False), (0.2001, True), (0.9, True)]
)
def test_passages_are_retrieved_only_above_the_threshold(p, retrieves):
    found = run(decide(p))
    assert found.usage.retrievals == int(retrieves)
    assert len(found.support) == int(retrieves)
    assert found.answer == ("Mara Quint" if retrieves else "Jon Abel")
    assert notes(found, "retrieval decision") == [{"probability": p, "retrieve": retrieves}]


@pytest.mark.parametrize(("threshold", "retrieves"), [(0.0, True), (0.5, False), (1.0, False)])
def test_the_threshold_is_a_parameter(threshold, retrieves):
    assert run(decide(0.5), threshold=threshold).usage.retrievals == int(retrieves)


def test_the_decision_is_normalised_over_two_tokens():
    # 0.03 / (0.03 + 0.07) = 0.3, although both are rare.
    first = said(("Mara", {RET: 0.03, NO_RET: 0.07}))
    found = run(scripted({**PASSAGES, "### Response:\n": first}), threshold=0.29)
    assert notes(found, "retrieval decision")[0]["probability"] == pytest.approx(0.3)
    assert found.usage.retrievals == 1


def test_a_model_that_says_nothing_wants_nothing():
    found = run(scripted({"": Reply("")}))
    assert (found.answer, found.usage.llm_calls, found.usage.retrievals) == ("", 2, 0)


def test_without_retrieval_the_model_is_told_so():
    model = decide(0.1)
    found = run(model)
    first, second = model.requests
    assert first.max_tokens == 1
    assert first.prompt.endswith("### Response:\n")
    assert second.prompt == first.prompt + NO_RET
    assert second.max_tokens == 100
    assert found.ranked == ()


def test_mode_never_asks_once():
    found = run(scripted(ALONE), mode="never")
    assert (found.answer, found.usage.llm_calls) == ("Jon Abel", 1)
    assert not notes(found, "retrieval decision")


def test_mode_always_asks_for_each_passage():
    found = run(scripted(PASSAGES), mode="always")
    assert (found.answer, found.usage.llm_calls, found.usage.retrievals) == ("Mara Quint", 3, 1)


def test_the_released_commands_weight_of_utility():
    found = run(decide(0.9), utility_weight=1, mode="always")
    assert [s["score"] for s in notes(found, "critique")] == pytest.approx([2.3, 2.45, 1.15])
    assert found.answer == "Oster"


def test_in_a_closed_task_the_scores_of_equal_answers_add_up():
    def says(text: str, relevance: float):
        return said((REL, {REL: relevance, IRR: 1 - relevance}), text)

    texts = [says("true", 0.4), says("false", 0.7), says("true", 0.5)]
    model = dict(zip(PASSAGES, texts, strict=True))
    params = {"mode": "always", "sequence_score": False}
    assert run(scripted(model), **params).answer == "false"
    found = run(scripted(model), **params, closed=True)
    assert (found.answer, found.raw) == ("true", texts[2].text)


def test_a_retriever_that_finds_nothing():
    model = scripted({"### Response:\n[No Retrieval]": said("Osaka")})
    (query,) = queries(1)
    found = ask("self-rag", model, [type(query)("q", "???")], retriever="bm25", mode="always")
    assert (found.answer, found.ranked_ids) == ("Osaka", [])
    assert (found.usage.llm_calls, found.usage.retrievals) == (1, 1)


def test_the_first_of_equal_answers_wins():
    same = {place: said(REL, f"answer {n}") for n, place in enumerate(PASSAGES)}
    assert run(scripted(same), mode="always").answer == "answer 0"


def test_the_format_of_the_checkpoint_in_either_style():
    for style in ("completion", "chat"):
        model = scripted(PASSAGES, style=style)
        run(model, mode="always", k=1)
        (request,) = model.requests
        assert request.prompt == (
            "### Instruction:\n"
            "Answer the question with a short phrase, a name, a date or yes/no.\n\n"
            "## Input:\n\n"
            "Who built the lighthouse of Vell? 0\n\n"
            "### Response:\n"
            "[Retrieval]<paragraph>Lighthouse\n"
            "The lighthouse of Vell was built by Mara Quint in 1821.</paragraph>"
        )
        assert request.stop == ()


def test_the_bare_question_as_in_the_paper():
    model = scripted(ALONE)
    run(model, mode="never", short_answer=False)
    assert model.requests[0].prompt == (
        "### Instruction:\nWho built the lighthouse of Vell? 0\n\n### Response:\n[No Retrieval]"
    )


def test_a_passage_that_does_not_fit_is_dropped_and_said_to_be_missing():
    asked = [Query("q", "Jon Abel?")]
    found = ask(
        "self-rag", scripted(ALONE, window=123), asked, retriever="bm25", mode="always", k=1
    )
    assert (found.usage.passages_dropped, found.usage.passages_cut) == (1, 0)
    assert found.answer == "Jon Abel"


def test_a_passage_that_is_too_long_is_read_up_to_where_it_fits():
    model = scripted({"<paragraph>": said("Mara Quint", USE[4])}, window=133)
    found = run(model, mode="always", k=1)
    assert (found.usage.passages_dropped, found.usage.passages_cut) == (0, 1)
    assert "\nThe lighthouse of Vell was built</paragraph>" in model.requests[0].prompt


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[Relevant]Oster.[Fully supported][Utility:5]", "Oster."),
        ("[Relevant]\nOster\nnot this[Utility:5]", "Oster"),
        ("[Relevant][Utility:5]", ""),
        ("", ""),
        ("Mr. Quint Jr.", "Mr. Quint Jr."),
    ],
)
def test_the_answer_is_one_line_without_control_tokens(text, answer):
    found = run(scripted({"<paragraph>": Reply(text)}), mode="always", k=1)
    assert found.answer == answer
    assert found.raw == text


def test_demonstrations_are_refused_rather_than_ignored():
    with pytest.raises(ConfigError, match="'self-rag': parameter 'shots' = 4"):
        parse_params(load_method("self-rag"), "self-rag", {"shots": 4})


def test_a_model_without_the_tokens_is_refused_before_any_work(tiny_model_dir):
    llm = LocalModel(
        ModelConfig(name="tiny", path=str(tiny_model_dir), prompt_style="completion"),
        str(tiny_model_dir),
    )
    message = (
        r"needs the tokens .*\[Retrieval\].*which model 'tiny' lacks; "
        r"use the method 'self-rag-prompted'"
    )
    with pytest.raises(CapabilityError, match=message):
        make_engine(load_method("self-rag")(), llm)
    make_engine(load_method("self-rag-prompted")(), llm)


def test_a_model_without_log_probabilities_is_refused():
    model = RuleModel()
    model.capabilities = frozenset()
    for name, needed in (("self-rag", "logprobs"), ("self-rag-prompted", "next-token-probs")):
        with pytest.raises(CapabilityError, match=f"capability '{needed}'.* model 'rules' lacks"):
            make_engine(load_method(name)(), model)
