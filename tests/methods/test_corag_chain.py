"""The greedy chain of CoRAG and CoRAG prompted, worked out by hand over the small corpus."""

from __future__ import annotations

import pytest

from harness.llm.requests import as_text
from methods.corag.chain import NO_INFORMATION
from tests.methods.corag_lab import FORMS, QUESTION, Form, generations, notes, searches

FOR_BOTH = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
OSTER = {"Oster port": "on the Ilm", "Vellish letters": "31"}


@FOR_BOTH
def test_a_chain_of_two_asks_searches_and_answers_in_turn(form: Form):
    model = form.script(["Oster port", "Vellish letters"], OSTER)
    found = form.ask(model, max_path_length=2)
    assert found.answer == "Mara Quint"
    assert searches(found) == [QUESTION.text, "Oster port", "Vellish letters"]
    assert [step.kind for step in found.steps] == [
        "search",
        *["generate", "search", "generate", "hop"] * 2,
        "generate",
    ]
    assert notes(found, "hop") == [
        {"sub_query": "Oster port", "sub_answer": "on the Ilm"},
        {"sub_query": "Vellish letters", "sub_answer": "31"},
    ]
    assert (found.usage.llm_calls, found.usage.retrievals) == (5, 3)


@FOR_BOTH
def test_every_call_is_greedy_and_limited_as_its_kind_is(form: Form):
    model = form.script(["Oster port"])
    limits = {"sub_query_tokens": 7, "sub_answer_tokens": 8, "max_tokens": 9}
    form.ask(model, max_path_length=1, **limits)
    assert [request.max_tokens for request in generations(model)] == [7, 8, 9]
    assert {request.temperature for request in generations(model)} == {0.0}


@FOR_BOTH
def test_the_next_sub_query_sees_the_chain_so_far(form: Form):
    model = form.script({"": ["Oster port"], "Oster port": ["Ilm length"]})
    found = form.ask(model, max_path_length=2)
    assert searches(found)[1:] == ["Oster port", "Ilm length"]
    first, second = (request.prompt for request in form.sub_query_requests(model))
    assert "said" not in first and "Oster port" not in first
    assert second.index("Oster port") < second.index("said") < second.index(QUESTION.text)


@FOR_BOTH
def test_a_used_sub_query_is_discarded_and_asked_again_warmer_until_one_is_new(form: Form):
    model = form.script(["Oster port", "Oster port", "Oster port", "Ilm length", "Jon Abel"])
    found = form.ask(model, max_path_length=3)
    assert form.temperatures(model) == [0.0, 0.0, 0.7, 0.7, 0.0]
    assert searches(found)[1:] == ["Oster port", "Ilm length", "Jon Abel"]
    assert notes(found, "sub_query_rejected") == [
        {"sub_query": "Oster port", "next_temperature": 0.7},
        {"sub_query": "Oster port", "next_temperature": 0.7},
    ]


@FOR_BOTH
def test_a_sub_query_used_two_hops_ago_is_used_too(form: Form):
    model = form.script(["Oster port", "Ilm length", "Oster port", "Jon Abel"])
    found = form.ask(model, max_path_length=3)
    assert searches(found)[1:] == ["Oster port", "Ilm length", "Jon Abel"]


@FOR_BOTH
@pytest.mark.parametrize(("length", "tries", "asked"), [(2, 4, 8), (6, 4, 24), (3, 1, 3)])
def test_a_model_that_repeats_itself_has_so_many_tries_per_place(form: Form, length, tries, asked):
    model = form.script(["Oster port"] * 99)
    found = form.ask(model, max_path_length=length, tries=tries)
    assert len(form.temperatures(model)) == asked
    assert searches(found) == [QUESTION.text, "Oster port"]
    assert found.answer == "Mara Quint"
    assert found.usage.llm_calls == asked + 2


@FOR_BOTH
def test_tries_are_shared_by_the_places_of_a_chain(form: Form):
    model = form.script(["Ilm length", *["Ilm length"] * 5, "Jon Abel", "Oster port"])
    found = form.ask(model, max_path_length=2)
    assert form.temperatures(model) == [0.0, 0.0, 0.7, 0.7, 0.7, 0.7, 0.7]
    assert searches(found)[1:] == ["Ilm length", "Jon Abel"]


@FOR_BOTH
def test_an_empty_sub_query_is_a_failed_try(form: Form):
    model = form.script(["", '""', "Query 1:", "Oster port"])
    found = form.ask(model, max_path_length=1)
    assert form.temperatures(model) == [0.0, 0.7, 0.7, 0.7]
    assert searches(found)[1:] == ["Oster port"]


@FOR_BOTH
def test_a_model_without_sub_queries_reads_the_questions_passages_alone(form: Form):
    model = form.script([""] * 99)
    found = form.ask(model, max_path_length=2, final_k=2)
    assert found.usage.llm_calls == 8 + 1
    assert found.ranked_ids == ["d0", "d4"]
    assert "said" not in form.final_prompt(model)


@FOR_BOTH
def test_a_chain_of_no_sub_queries_is_one_call(form: Form):
    model = form.script([])
    found = form.ask(model, max_path_length=0)
    assert (found.usage.llm_calls, found.usage.retrievals) == (1, 1)


@FOR_BOTH
def test_the_best_document_comes_last_in_a_sub_answer(form: Form):
    model = form.script(["Oster port"])
    form.ask(model, max_path_length=1, k=3)
    prompt = as_text(generations(model)[1].prompt)
    places = [prompt.index(text) for text in ("ships call", "twinned with", "engineer born")]
    assert places == sorted(places), "d4, d2, d1: the reverse of the ranking"
    assert "four acts" not in prompt, "of the fourth passage"


@FOR_BOTH
def test_the_last_prompt_holds_the_questions_passages_and_the_chain_but_not_its_passages(form):
    model = form.script(["Vellish letters", "Jon Abel"], {"Vellish letters": "thirty-one"})
    form.ask(model, max_path_length=2, final_k=2)
    prompt = form.final_prompt(model)
    order = ["ships call", "built by Mara", "Vellish letters", "thirty-one", "Jon Abel", "said"]
    places = [prompt.index(text) for text in [*order, QUESTION.text]]
    assert places == sorted(places)
    assert "31 letters" not in prompt and "composer" not in prompt


@FOR_BOTH
def test_an_empty_sub_answer_counts_as_no_information(form: Form):
    model = form.script(["Oster port"], {"Oster port": " \n "})
    found = form.ask(model, max_path_length=1)
    assert notes(found, "hop") == [{"sub_query": "Oster port", "sub_answer": NO_INFORMATION}]
    assert NO_INFORMATION in form.final_prompt(model)


@FOR_BOTH
def test_retrieved_passages_are_ranked_by_their_best_rank_in_any_search(form: Form):
    # The question finds d0 d4 d1, 'Oster port' d1 d2, 'Vellish letters' d8 d7.
    model = form.script(["Oster port", "Vellish letters"])
    found = form.ask(model, max_path_length=2, k=2, final_k=3)
    assert found.ranked_ids == ["d0", "d1", "d8", "d4", "d2", "d7"]
    assert len(found.ranked) == 6


@FOR_BOTH
def test_where_nothing_is_found_the_chain_goes_on(form: Form):
    model = form.script(["Oster port", "Ilm length"])
    found = form.ask(model, max_path_length=2, most=0)
    assert found.answer == "Mara Quint"
    assert found.ranked_ids == []
    assert found.usage.llm_calls == 5


@FOR_BOTH
def test_a_long_winded_model_is_read_by_its_first_lines(form: Form):
    model = form.script(
        ['\n "Intermediate query 1: Oster port?" \nBecause ports matter.'],
        {"Oster port?": "\non the Ilm, U.S. style.\nI am sure."},
        final="\n Mara Quint \nShe built it.",
        style="chat",
    )
    found = form.ask(model, max_path_length=1)
    assert notes(found, "hop") == [
        {"sub_query": "Oster port?", "sub_answer": "on the Ilm, U.S. style."}
    ]
    assert found.answer == "Mara Quint"


@FOR_BOTH
def test_the_task_description_is_told(form: Form):
    model = form.script(["Oster port"])
    form.ask(model, max_path_length=1, task_description="Answer trivia.")
    assert "Answer trivia." in form.sub_query_requests(model)[0].prompt


@FOR_BOTH
def test_every_call_counts_in_the_tokens_of_a_question(form: Form):
    model = form.script(["Oster port", "Oster port", "Ilm length"])
    found = form.ask(model, max_path_length=2)
    assert len(model.requests) == found.usage.llm_calls == 6
    prompt_tokens = sum(model.count_tokens(request.prompt) for request in model.requests)
    assert found.usage.prompt_tokens == prompt_tokens
    assert found.usage.completion_tokens == 3 * 2 + 2 * 1 + 2


@FOR_BOTH
def test_documents_that_do_not_fit_the_window_are_left_out_from_the_worst(form: Form):
    model = form.script(["Oster port"])
    form.ask(model, max_path_length=1, k=4)
    whole = model.count_tokens(generations(model)[1].prompt)
    narrow = form.script(["Oster port"], window=whole + 500)
    found = form.ask(narrow, max_path_length=1, k=4, sub_answer_tokens=501)
    prompt = as_text(generations(narrow)[1].prompt)
    assert "four acts" not in prompt and "engineer born" in prompt
    assert found.usage.passages_dropped == 1
