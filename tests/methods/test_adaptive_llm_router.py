"""The language model as its own router: the prompt, the choice, the parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Query
from harness.testing.models import RuleModel, ScriptedModel
from methods.adaptive_rag.llm_router import AdaptiveRAGLLMRouter
from methods.adaptive_rag.prompts import likeliest, parse_route, route_prompt
from tests.methods.adaptive_lab import ask, engine, question, route_note, run

ASKED = question(5)
CHAIN = "So the answer is: x."


def choose(probs, replies, *, spaced=True, **options):
    probs = {(" " + k if spaced else k): p for k, p in probs.items()}
    model = ScriptedModel(replies, probs=[probs], **options)
    method = AdaptiveRAGLLMRouter(AdaptiveRAGLLMRouter.Params(k=1, hop_k=2))
    return ask(method, model, ASKED), model


@pytest.mark.parametrize(
    ("probs", "replies", "note", "passages"),
    [
        ({"A": 0.6, "B": 0.3, "C": 0.1}, ["x"], ("A", 0.6, 0.3, 0.1), 0),
        ({"A": 0.1, "B": 0.3, "C": 0.1}, ["x"], ("B", 0.2, 0.6, 0.2), 1),
        ({"A": 0.0, "B": 0.1, "C": 0.3}, [CHAIN, "x"], ("C", 0.0, 0.25, 0.75), 2),
        ({}, ["x"], ("B", 0.3333, 0.3333, 0.3333), 1),
        ({"A": 0.4, "B": 0.4}, ["x"], ("B", 0.5, 0.5, 0.0), 1),
        ({"A": 0.4, "C": 0.4}, ["x"], ("A", 0.5, 0.0, 0.5), 0),
    ],
)
def test_the_likeliest_letter_is_the_route(probs, replies, note, passages):
    found, _ = choose(probs, replies)
    assert found.answer == "x"
    label, *shares = note
    assert route_note(found) == {
        "label": label,
        "probabilities": dict(zip("ABC", shares, strict=True)),
    }
    assert len(found.ranked) == passages
    assert found.usage.llm_calls == 1 + len(replies)


def test_a_chat_model_is_asked_for_the_bare_letter():
    found, model = choose({"C": 0.9}, [CHAIN, "x"], spaced=False, style="chat")
    assert route_note(found)["label"] == "C"
    assert model.requests[0].strings == ("A", "B", "C")


class Mute(ScriptedModel):
    capabilities = frozenset()


@pytest.mark.parametrize(
    ("reply", "label", "parsed"),
    [
        (" A", "A", True),
        (" C. Two pages", "C", True),
        (" I do not know", "B", False),
        ("", "B", False),
        (" A or C", "B", False),
        (" B", "B", True),
    ],
)
def test_without_probabilities_the_reply_is_parsed(reply, label, parsed):
    replies = [reply, CHAIN, "x"] if label == "C" else [reply, "x"]
    method = AdaptiveRAGLLMRouter(AdaptiveRAGLLMRouter.Params(k=1, hop_k=2))
    model = Mute(replies)
    found = ask(method, model, ASKED)
    assert route_note(found) == {"label": label, "parsed": parsed}
    assert model.requests[0].max_tokens == 8
    assert (found.answer, found.raw) == ("x", "x")


@pytest.mark.parametrize(
    ("reply", "route"),
    [
        # Alone, with marks, with a trailing full stop.
        ("A", "A"),
        (" B", "B"),
        ("C.", "C"),
        ("(B)", "B"),
        ("**C**", "C"),
        ('"A"', "A"),
        ("b", "B"),
        ("C\nbecause of two pages", "C"),
        ("B: one search", "B"),
        ("B, since a page holds it", "B"),
        ("C - two pages", "C"),
        # After a marker.
        ("Route: C", "C"),
        ("The answer is B.", "B"),
        ("My choice is (A)", "A"),
        ("Option C\nA reason", "C"),
        ("A question like this needs route C", "C"),
        # The only letter.
        ("I would take B here", "B"),
        ("It is C.", "C"),
        # None, several, parts of words.
        ("", None),
        ("\n\n", None),
        ("Route:", None),
        ("None of them", None),
        ("Because", None),
        ("ABC", None),
        ("A/B", None),
        ("A, B or C", None),
        ("A or B", None),
        ("Route: A\nRoute: C", None),
        ("B'", None),
        ("the answer is a single page", None),
        # Abbreviations and initials are no routes.
        ("C. S. Lewis wrote it", None),
        ("U.S.A.", None),
        ("J. A. Smith", None),
        ("B.A. degree", None),
    ],
)
def test_a_reply_names_a_route_by_a_letter_of_its_own(reply, route):
    assert parse_route(reply) == route


@given(st.text(max_size=60))
def test_any_reply_parses_to_a_route_or_none(reply):
    assert parse_route(reply) in ("A", "B", "C", None)


def test_equal_probabilities_prefer_one_retrieval_then_the_simplest():
    assert likeliest({"A": 0.5, "B": 0.5, "C": 0.0}) == "B"
    assert likeliest({"A": 0.5, "B": 0.0, "C": 0.5}) == "A"
    assert likeliest({"A": 0.1, "B": 0.2, "C": 0.7}) == "C"


def test_the_prompt_shows_every_route_and_train_questions_with_their_hops():
    shown = [question(1, hops=1), question(2, hops=3)]
    found = ask(AdaptiveRAGLLMRouter(), RuleModel(), ASKED, examples=shown)
    prompt = found.steps[0].data["prompt"]
    assert f"Question: {shown[0].text}\nRoute: B\n" in prompt
    assert f"Question: {shown[1].text}\nRoute: C\n" in prompt
    assert [prompt.count(f"Route: {label}") for label in "ABC"] == [1, 2, 2]
    assert all(f"\n{label}: " in prompt for label in "ABC")
    assert prompt.endswith(f"Question: {ASKED.text}\nRoute:")


def test_in_chat_the_letters_are_replies():
    messages = route_prompt(Query("q", "Who?"), []).render("chat")
    assert [m.content for m in messages if m.role == "assistant"] == ["A", "C", "B"]
    assert messages[-1].content == "Question: Who?"
    assert messages[0].role == "system"


def test_the_router_answers_alike_in_batches():
    asked = [question(n) for n in range(32)]
    rows, batches = [], []
    for window in (32, 1):
        machine = engine(AdaptiveRAGLLMRouter(), window=window)
        rows.append(run(machine, asked))
        batches.append(sum(machine.channels[k].batches for k in machine.channels if k != "search"))
    assert rows[0] == rows[1]
    assert len({route_note(row)["label"] for row in rows[0].values()}) == 3
    assert batches[0] * 3 <= batches[1]
