"""IRCoT's loop, step by step, with a model that says what a test wrote down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.corpus import Corpus
from harness.data.demonstrations import qa_prompts
from harness.llm.requests import as_text
from harness.records import Passage, Query
from harness.testing.models import RuleModel, ScriptedModel, WordRetriever, small_task
from methods.ircot.method import IRCoT
from methods.ircot.prompts import REPLY_START
from tests.harness.programs import make_engine, open_with, queries

CORPUS = Corpus.from_passages(
    [
        Passage("a", "Apple", "apple tart"),
        Passage("b", "Bread", "bread oven"),
        Passage("c", "Cider", "cider press"),
        Passage("d", "Bread", "bread oven"),
        Passage("e", "Elder", "elder " * 601),
        Passage("f", "Fig", "fig apple tree"),
    ]
)
QUESTION = "Who made apple tart?"


def ask(replies, *, corpus=CORPUS, question=QUESTION, most=None, style="completion", **params):
    """The prediction for one question, and the model with the requests it got."""
    model = replies if isinstance(replies, RuleModel) else ScriptedModel(replies, style=style)
    method = IRCoT(IRCoT.Params(**{"shots": 0, "k": 1, **params}))
    found = []
    engine = open_with(method, model, WordRetriever(corpus, most), corpus)
    engine.run([Query("q", question)], found.append)
    return found[0].prediction, model


def searched(prediction):
    return [step.data["query"] for step in prediction.steps if step.kind == "search"]


def thoughts(prediction):
    return [step.data["sentence"] for step in prediction.steps if step.kind == "thought"]


def test_the_question_is_searched_first_then_each_sentence():
    found, _ = ask(["The bread was good.", "Then came cider.", "So the answer is: Ann.", "Ann"])
    assert searched(found) == ["made apple tart?", "The bread was good.", "Then came cider."]
    assert found.ranked_ids == ["a", "b", "c"]
    assert (found.usage.llm_calls, found.usage.retrievals) == (4, 3)
    assert found.error is None


def test_the_chain_stops_at_the_first_sentence_that_names_an_answer():
    found, _ = ask(["It is bread, so the answer is Ann. And more.", "Bob"])
    assert thoughts(found) == ["It is bread, so the answer is Ann."]
    assert found.answer == "Bob"
    assert found.usage.retrievals == 1


@pytest.mark.parametrize("nothing", ["", "  ", "\nlater"])
def test_an_empty_sentence_ends_the_chain(nothing):
    found, _ = ask(["Some bread.", nothing, "Ann"])
    assert thoughts(found) == ["Some bread.", ""]
    assert found.answer == "Ann"
    assert found.ranked_ids == ["a", "b"]


def test_a_reply_that_only_repeats_the_chain_ends_it():
    found, _ = ask(["Some bread.", "Much cider.", "Some bread. Much cider.", "Ann"])
    assert thoughts(found) == ["Some bread.", "Much cider.", ""]
    assert found.answer == "Ann"


def test_the_chain_has_at_most_max_steps_sentences():
    found, _ = ask([f"Step {n}." for n in range(4)] + ["Ann"], max_steps=4)
    assert thoughts(found) == ["Step 0.", "Step 1.", "Step 2.", "Step 3."]
    assert (found.usage.llm_calls, found.usage.retrievals) == (5, 4)


def test_only_the_first_sentence_of_a_reply_is_kept():
    found, model = ask(["J. K. Rowling baked bread. It was cider.", "So the answer is: x.", "Ann"])
    assert thoughts(found)[0] == "J. K. Rowling baked bread."
    assert "cider" not in as_text(model.requests[1].prompt)


def test_conclusions_and_sums_are_no_queries():
    found, _ = ask(["Some bread.", "Thus cider.", "And 2 + 2 = 4 figs.", "", "Ann"])
    assert searched(found) == ["made apple tart?", *["Some bread."] * 3]


def test_without_a_fact_the_question_is_searched_again():
    found, _ = ask(["Hence cider.", "", "Ann"])
    assert searched(found) == ["made apple tart?"] * 2


def test_question_words_stay_in_queries_for_an_encoder():
    found, _ = ask(["", "Ann"], retriever="all-minilm-l6-v2")
    assert searched(found) == ["Who made apple tart?"]


def test_k_passages_are_asked_for_and_collected_in_rank_order():
    found, _ = ask(["", "Ann"], k=2)
    assert [step.data["k"] for step in found.steps if step.kind == "search"] == [2]
    assert found.ranked_ids == ["a", "f"]  # shares {apple, tart}, shares {apple}


def test_paragraphs_found_again_or_under_another_id_are_not_collected():
    found, model = ask(["apple bread.", "bread oven.", "", "Ann"], k=3)
    # a f | a b d -> b | b d
    assert found.ranked_ids == ["a", "f", "b"]
    assert as_text(model.requests[2].prompt).count("bread oven") == 2  # paragraph, sentence


def test_paragraphs_of_more_than_600_words_are_dropped():
    found, _ = ask(["elder.", "", "Ann"])
    assert found.ranked_ids == ["a"]
    (noted,) = [step.data for step in found.steps if step.kind == "too_long"]
    (long,) = noted["ids"]
    assert noted["words"] == 600
    searched_ids = [step.data["retrieved_ids"] for step in found.steps if step.kind == "search"]
    assert any(long in ids for ids in searched_ids)


def test_no_more_than_max_passages_are_collected():
    found, _ = ask(["bread.", "cider.", "", "Ann"], max_passages=2)
    assert found.ranked_ids == ["a", "b"]
    assert searched(found)[-1] == "cider."


def test_a_search_that_finds_nothing_is_survived():
    found, _ = ask(["bread.", "", "Ann"], most=0)
    assert (found.answer, list(found.ranked), found.error) == ("Ann", [], None)


def test_each_step_is_recorded_with_the_query_that_led_to_it():
    found, _ = ask(["Some bread.", "So the answer is: Ann.", "Bob"])
    assert [dict(step.data) for step in found.steps if step.kind == "thought"] == [
        {"sentence": "Some bread.", "query": "Who made apple tart?"},
        {"sentence": "So the answer is: Ann.", "query": "Some bread."},
    ]


def test_the_direct_reader_sees_the_passages_and_not_the_chain():
    found, model = ask(["Some bread baked.", "So the answer is: x.", "Ann\nBob"])
    prompt = as_text(model.requests[-1].prompt)
    assert "bread oven" in prompt and "apple tart" in prompt
    assert "baked" not in prompt and "answer is" not in prompt
    assert prompt.endswith("Question: Who made apple tart?\nAnswer:")
    assert (found.answer, found.raw) == ("Ann", "Ann")
    assert [request.max_tokens for request in model.requests] == [64, 64, 32]


def test_the_chain_of_thought_reader_starts_a_chain_of_its_own():
    found, model = ask(
        ["Some bread.", "So the answer is: x.", "It is cider. So the answer is: Ann."],
        reader="cot",
    )
    prompt = as_text(model.requests[-1].prompt)
    assert prompt.endswith(f"Question: Who made apple tart?\n{REPLY_START}")
    assert "bread oven" in prompt
    assert (found.answer, found.raw) == ("Ann", "It is cider. So the answer is: Ann.")
    assert model.requests[-1].max_tokens == 200


def test_a_reader_that_names_no_answer_is_quoted_in_full():
    found, _ = ask(["", "It is cider. It is Ann."], reader="cot")
    assert found.answer == "It is cider. It is Ann."
    assert found.steps[-1].kind == "parse_failed"


def test_without_reader_the_chain_answers():
    found, model = ask(["Some bread.", "So the answer is: Ann."], reader="none")
    assert (found.answer, found.raw) == ("Ann", "Some bread. So the answer is: Ann.")
    assert len(model.requests) == 2
    assert not any(step.kind == "parse_failed" for step in found.steps)


def test_without_reader_and_answer_the_last_sentence_is_taken_and_said_so():
    found, _ = ask(["Some bread.", "Much cider.", ""], reader="none")
    assert found.answer == "Much cider."
    assert dict(found.steps[-1].data) == {"text": "Some bread. Much cider."}
    assert found.steps[-1].kind == "parse_failed"


def test_without_any_sentence_the_answer_is_empty():
    found, _ = ask([""], reader="none")
    assert (found.answer, found.error) == ("", None)


def test_the_chain_has_two_of_the_shots_and_the_reader_all_four():
    data = small_task()
    model = ScriptedModel(["So the answer is: Ann.", "Ann"])
    retriever = WordRetriever(data.corpus)
    engine = open_with(IRCoT(), model, retriever, data.corpus, prompts=qa_prompts(data, 4, 0))
    engine.run([Query("q", "Is Vell an island?")], lambda _: None)
    think, read = (as_text(request.prompt) for request in model.requests)
    assert think.count("Question:") == 3
    assert read.count("Question:") == 5


STRANGE = [
    "",
    " ",
    ".",
    "...",
    "answer is",
    "So.",
    "1 + 1 = 2.",
    "\n",
    "bread. " * 50,
    "Reasoning:",
]


@given(
    replies=st.lists(st.sampled_from(STRANGE) | st.text(max_size=30), min_size=1, max_size=6),
    steps=st.integers(1, 6),
    cap=st.integers(1, 5),
    most=st.sampled_from([None, 0, 1]),
    reader=st.sampled_from(["direct", "cot", "none"]),
    style=st.sampled_from(["completion", "chat"]),
)
def test_whatever_the_model_says_the_calls_are_bounded(replies, steps, cap, most, reader, style):
    count = iter(range(10_000))
    model = RuleModel(lambda _: replies[next(count) % len(replies)], style=style, verbose=True)
    found, _ = ask(model, most=most, max_steps=steps, max_passages=cap, reader=reader, k=3)
    assert found.error is None
    assert found.usage.llm_calls <= steps + (reader != "none")
    assert found.usage.retrievals <= steps
    assert len(found.ranked) <= cap
    assert found.ranked_ids == [passage.id for passage in found.ranked]


def test_a_model_that_never_stops_takes_every_step_and_no_more():
    count = iter(range(10_000))
    found, _ = ask(RuleModel(lambda _: f"Fact {next(count)} is known."))
    assert (found.usage.llm_calls, found.usage.retrievals) == (11, 10)


def test_batched_questions_are_answered_alike_in_a_third_of_the_batches_or_fewer():
    rows, batches = [], []
    for window in (32, 1):
        engine = make_engine(IRCoT(), window=window)
        found = {}
        engine.run(queries(32), lambda a, found=found: found.update({a.question_id: a.prediction}))
        rows.append(dict(sorted(found.items())))
        batches.append(sum(engine.channels[kind].batches for kind in ("generate", "score")))
    assert rows[0] == rows[1]
    assert batches[0] * 3 <= batches[1]
