"""Best of N and tree search, worked out by hand over the small corpus."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import CapabilityError
from harness.llm.requests import ScoreRequest, as_text
from methods.corag.chain import NO_INFORMATION
from tests.methods.corag_lab import FORMS, QUESTION, Form, generations, notes, searches

FOR_BOTH = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
THREE = ["Ilm length", "Oster port", "Jon Abel"]


def best_of(form: Form, model, **params):
    return form.ask(model, strategy="best_of_n", **{"max_path_length": 1, "chains": 3, **params})


def tree(form: Form, model, **params):
    return form.ask(model, strategy="tree", **{"max_path_length": 1, "expand_size": 2, **params})


def scored(model) -> list[str]:
    """The prompts of the penalties, in order."""
    return [as_text(r.prompt) for r in model.requests if isinstance(r, ScoreRequest)]


@FOR_BOTH
def test_the_chain_of_least_penalty_is_read(form: Form):
    model = form.script(THREE, penalties={"Ilm length": -2, "Oster port": -3, "Jon Abel": -1})
    found = best_of(form, model, final_k=1, k=1)
    assert notes(found, "chosen") == [{"chains": [1], "penalties": [-2.0, -3.0, -1.0]}]
    assert form.chain_read(model) == ["Oster port"]
    assert found.ranked_ids == ["d0", "d1"], "of the question and of the chosen chain only"
    assert (found.usage.llm_calls, found.usage.retrievals) == (3 * (2 + 1) + 1, 3 + 1)


@FOR_BOTH
def test_of_equal_penalties_the_first_chain_is_read(form: Form):
    model = form.script(THREE, penalties={"Ilm length": -1, "Oster port": -2, "Jon Abel": -2})
    assert notes(best_of(form, model), "chosen")[0]["chains"] == [1]
    model = form.script(THREE, penalties=dict.fromkeys(THREE, -2))
    assert notes(best_of(form, model), "chosen")[0]["chains"] == [0]


@FOR_BOTH
def test_the_first_chain_is_greedy_and_the_others_are_sampled_apart(form: Form):
    model = form.script(THREE, penalties=dict.fromkeys(THREE, -2))
    best_of(form, model)
    assert form.temperatures(model) == [0.0, 0.7, 0.7]
    assert len({request.seed for request in form.sub_query_requests(model)}) == 3
    rest = [r for r in generations(model) if r not in form.sub_query_requests(model)]
    assert {request.temperature for request in rest} == {0.0}


@FOR_BOTH
def test_a_repeated_sub_query_never_lowers_the_temperature(form: Form):
    model = form.script(
        {"": ["Ilm length", "Jon Abel"], "Jon Abel": ["Jon Abel", "Vell"], "Ilm length": ["Oster"]},
        penalties={"Oster": -1, "Vell": -2},
    )
    best_of(form, model, chains=2, max_path_length=2, temperature=1.2)
    assert form.temperatures(model) == [0.0, 1.2, 0.0, 1.2, 1.2]


@FOR_BOTH
@pytest.mark.parametrize(("style", "space"), [("completion", " "), ("chat", "")])
def test_the_penalty_is_how_likely_the_chain_says_nothing_of_the_question(form, style, space):
    form = replace(form, alone="{}")
    model = form.script(["Oster port"], penalties={"": -1}, style=style)
    best_of(form, model, chains=1)
    (request,) = [r for r in model.requests if isinstance(r, ScoreRequest)]
    assert request.continuations == (space + NO_INFORMATION,)
    prompt = as_text(request.prompt)
    assert prompt.index("Oster port") < prompt.index("said") < prompt.index(QUESTION.text)
    assert "engineer born" not in prompt and "lighthouse of Vell was" not in prompt


@FOR_BOTH
def test_the_penalty_is_a_mean_over_the_tokens_of_the_refusal(form: Form):
    model = form.script(["Oster port"], penalties={"Oster port": -0.5})
    assert notes(best_of(form, model, chains=1), "penalty") == [
        {"penalty": -0.5, "sub_queries": ["Oster port"]}
    ]
    assert model.requests[-2].continuations == (f" {NO_INFORMATION}",)


@FOR_BOTH
def test_a_refusal_that_is_ruled_out_is_the_least_penalty(form: Form):
    penalties = {"Ilm length": -2, "Oster port": float("-inf"), "Jon Abel": -1}
    found = best_of(form, form.script(THREE, penalties=penalties))
    assert notes(found, "chosen") == [{"chains": [1], "penalties": [-2.0, None, -1.0]}]


@FOR_BOTH
def test_a_tree_tries_different_sub_queries_in_the_order_they_were_drawn(form: Form):
    drawn = ["Vell", "", "Jon Abel", "Vell", "Ilm length", "Oster port"]
    model = form.script(drawn, penalties=dict.fromkeys(drawn, -1))
    found = tree(form, model, expand_size=4)
    assert searches(found)[1:] == ["Vell", "Jon Abel", "Ilm length", "Oster port"]
    assert form.temperatures(model) == [0.7] * 6


@FOR_BOTH
def test_a_tree_keeps_as_many_sub_queries_as_it_expands(form: Form):
    drawn = ["Vell", "Jon Abel", "Ilm length"]
    model = form.script(drawn, penalties={"Vell": -1, "Jon Abel": -2})
    found = tree(form, model)
    assert searches(found)[1:] == ["Vell", "Jon Abel"]
    assert notes(found, "chosen") == [{"chains": [1], "penalties": [-1.0, -2.0]}]


@FOR_BOTH
def test_a_complete_chain_is_scored_once(form: Form):
    model = form.script(["Vell", "Jon Abel", "Vell"], penalties={"Vell": -2, "Jon Abel": -2})
    found = tree(form, model, rollouts=3)
    assert len(scored(model)) == 2
    assert notes(found, "chosen")[0]["chains"] == [0], "the first of equals"


@FOR_BOTH
def test_a_tree_goes_where_continuations_are_best_on_average(form: Form):
    model = form.script(
        {
            "": ["Ilm length", "Oster port", "Oster port"],
            "Ilm length": ["Jon Abel", "four acts", "Zürich", "Jon Abel", "Zürich"],
            "Oster port": ["shallow", "Vell island"],
        },
        penalties={
            **{"Jon Abel": -1, "four acts": -2, "Zürich": -3},
            **{"shallow": -2.5, "Vell island": -0.1},
        },
    )
    found = tree(form, model, max_path_length=2)
    assert notes(found, "chosen") == [
        {"chains": [0], "penalties": [-1.5, -1.3]},
        {"chains": [0], "penalties": [-3.0, -1.0]},
    ]
    assert form.chain_read(model) == ["Ilm length", "Zürich"]
    assert found.usage.llm_calls == (3 + 2 + 4 * 2 + 4) + (3 + 2 + 2) + 1
    assert found.usage.retrievals == (2 + 4) + 2 + 1


@FOR_BOTH
def test_a_continuation_takes_only_so_many_steps(form: Form):
    names = ["Ilm length", "Oster port", *(f"Vell {n}" for n in range(99))]
    form = replace(form, alone="{}")
    model = form.script(names, penalties={"": -1})
    found = tree(form, model, max_path_length=9, rollout_steps=2, rollouts=1)
    lengths = [len(note["sub_queries"]) for note in notes(found, "penalty")]
    # Two chains a depth; each is continued by two hops, as far as nine allow.
    assert lengths == [min(depth + 2, 9) for depth in range(1, 10) for _ in range(2)]


@FOR_BOTH
def test_a_continuation_has_the_tries_of_its_own_places_alone(form: Form):
    model = form.script(
        {
            "": ["Ilm length", "Oster port", "Oster port"],
            "Ilm length": ["Ilm length"] * 99,
            "Oster port": ["Jon Abel", "Jon Abel", "Jon Abel", "Jon Abel"],
        },
        penalties={"Jon Abel": -2, "Ilm length": -1},
    )
    found = tree(form, model, max_path_length=2, rollouts=1)
    assert len(notes(found, "sub_query_rejected")) == 4
    assert form.chain_read(model) == ["Oster port", "Jon Abel"]


@FOR_BOTH
def test_without_continuations_a_chain_is_judged_as_it_is(form: Form):
    model = form.script(
        {"": ["Vell", "Jon Abel", "Vell"], "Jon Abel": ["Oster port"] * 3},
        penalties={"Oster port": -9, "Vell": -1, "Jon Abel": -2},
    )
    found = tree(form, model, max_path_length=2, rollouts=0)
    assert notes(found, "chosen") == [{"chains": [1], "penalties": [-1.0, -2.0]}]
    assert searches(found)[1:] == ["Vell", "Jon Abel", "Oster port"]


@FOR_BOTH
def test_a_beam_of_two_keeps_two_chains_and_reads_the_better(form: Form):
    model = form.script(
        {
            "": ["Ilm length", "Oster port", "Oster port"],
            "Ilm length": ["Jon Abel", "Vell", "Vell"],
            "Oster port": ["shallow", "four acts", "shallow"],
        },
        penalties={"Jon Abel": -1, "Vell": -2, "shallow": -4, "four acts": -3},
    )
    found = tree(form, model, max_path_length=2, beam_size=2)
    assert notes(found, "chosen") == [{"chains": [2, 3], "penalties": [-1.0, -2.0, -4.0, -3.0]}]
    assert form.chain_read(model) == ["Oster port", "shallow"]


@FOR_BOTH
def test_a_tree_that_grows_no_further_is_read_as_it_is(form: Form):
    model = form.script({"": ["Oster port"], "Oster port": [""]})
    found = tree(form, model, max_path_length=3, expand_size=1)
    assert searches(found) == [QUESTION.text, "Oster port"]
    assert form.chain_read(model) == ["Oster port"]
    empty = tree(form, form.script([""] * 3), max_path_length=3)
    assert (empty.answer, empty.usage.llm_calls) == ("Mara Quint", 4)


@FOR_BOTH
@pytest.mark.parametrize("strategy", ["best_of_n", "tree"])
def test_comparing_chains_needs_logprobs_and_following_one_does_not(form: Form, strategy):
    model = form.script(["Oster port"])
    model.capabilities = frozenset()
    assert form.ask(model, max_path_length=1).answer == "Mara Quint"
    with pytest.raises(CapabilityError, match=r"'logprobs'.*'script'"):
        form.ask(model, strategy=strategy)
