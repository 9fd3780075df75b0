"""The three routes: what each calls, and that it does what its method does alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.testing.models import RuleModel
from methods.adaptive_rag.controls import AdaptiveRAGOracle
from methods.adaptive_rag.method import AdaptiveRAG
from methods.bm25 import BM25
from methods.ircot.method import IRCoT
from methods.no_retrieval import NoRetrieval
from tests.methods.adaptive_lab import able, ask, engine, question, route_note, run


class Always:
    """A router that is sure of itself."""

    bytes = 7

    def __init__(self, **shares: float) -> None:
        self.shares = {"A": 0.0, "B": 0.0, "C": 0.0, **shares}

    def probabilities(self, text: str) -> dict[str, float]:
        return self.shares


def routed(shares, **params):
    method = AdaptiveRAG(AdaptiveRAG.Params(k=1, hop_k=2, **params))
    method._router = Always(**shares)
    return method


ASKED = question(3)


@pytest.mark.parametrize(
    ("shares", "label", "calls", "searches"),
    [
        ({"A": 0.7, "B": 0.2, "C": 0.1}, "A", 1, 0),
        ({"A": 0.2, "B": 0.5, "C": 0.3}, "B", 1, 1),
        ({"A": 0.1, "B": 0.2, "C": 0.7}, "C", 2, 1),
        ({"A": 0.5, "B": 0.5, "C": 0.0}, "A", 1, 0),
        ({"A": 0.2, "B": 0.4, "C": 0.4}, "B", 1, 1),
    ],
)
def test_the_likeliest_route_is_taken_the_simplest_of_equal_ones(shares, label, calls, searches):
    found = ask(routed(shares), able({ASKED.text: label}), ASKED)
    assert found.answer == "yes 3"
    assert route_note(found) == {"label": label, "probabilities": shares}
    assert (found.usage.llm_calls, found.usage.retrievals) == (calls, searches)
    assert len(found.ranked) == {"A": 0, "B": 1, "C": 2}[label]


def test_probabilities_are_noted_with_four_digits():
    found = ask(routed({"A": 1 / 3, "B": 2 / 3}), able({}), ASKED)
    assert route_note(found)["probabilities"] == {"A": 0.3333, "B": 0.6667, "C": 0.0}


@pytest.mark.parametrize(("label", "cls"), [("A", NoRetrieval), ("B", BM25), ("C", IRCoT)])
def test_a_route_is_its_method_with_the_defaults_of_both(label, cls):
    shown = [question(n) for n in range(20, 24)]
    own = engine(cls(), examples=shown[: cls().params.shots])
    method = AdaptiveRAG()
    method._router = Always(**{label: 1.0})
    (alone,), (taken,) = (
        run(machine, [ASKED]).values() for machine in (own, engine(method, examples=shown))
    )
    assert taken.steps[0].kind == "route"
    assert replace(taken, steps=taken.steps[1:]) == alone


def test_no_demonstration_is_shown_where_none_is_wanted():
    for label in "ABC":
        params = AdaptiveRAG.Params(shots=0, k=1, max_steps=1)
        assert AdaptiveRAG(params).strategy(label).params.shots == 0
        found = ask(routed({label: 1.0}, shots=0, max_steps=1), able({}), ASKED)
        prompts = [s.data["prompt"] for s in found.steps if s.kind == "generate"]
        assert all(prompt.count("Question:") == 1 for prompt in prompts)


def test_every_parameter_of_the_routes_reaches_them():
    method = AdaptiveRAG(
        AdaptiveRAG.Params(
            shots=2, k=3, max_tokens=9, hop_k=7, max_passages=8, max_steps=6, retriever="e5-base-v2"
        )
    )
    a, b, c = (method.strategy(label).params for label in "ABC")
    assert (a.shots, a.max_tokens) == (2, 9)
    assert (b.shots, b.k, b.max_tokens) == (2, 3, 9)
    assert (c.k, c.max_passages, c.max_steps, c.reader_tokens) == (7, 8, 6, 9)
    assert (c.retriever, c.shots) == ("e5-base-v2", 2)
    assert method.retriever_name == "e5-base-v2"


STRANGE = ["", " ", "answer is", "So.", "A", "Route:", "look " * 50]


@given(
    replies=st.lists(st.sampled_from(STRANGE) | st.text(max_size=20), min_size=1, max_size=5),
    steps=st.integers(1, 5),
    most=st.sampled_from([None, 0, 1]),
    label=st.sampled_from("ABC"),
    style=st.sampled_from(["completion", "chat"]),
)
def test_calls_stay_within_the_bound_of_the_route(replies, steps, most, label, style):
    count = iter(range(10_000))

    def model():
        return RuleModel(lambda _: replies[next(count) % len(replies)], style=style, verbose=True)

    found = ask(routed({label: 1.0}, max_steps=steps), model(), ASKED, most=most)
    assert found.error is None
    assert found.usage.llm_calls <= {"A": 1, "B": 1, "C": steps + 1}[label]
    assert found.usage.retrievals <= {"A": 0, "B": 1, "C": steps}[label]

    oracle = AdaptiveRAGOracle(AdaptiveRAGOracle.Params(max_steps=steps))
    found = ask(oracle, model(), ASKED, most=most)
    assert found.error is None
    assert found.usage.llm_calls <= steps + 3
    assert found.usage.retrievals <= steps + 1


def test_batches_change_nothing_and_save_calls():
    asked = [question(n) for n in range(32)]

    class ByNumber(Always):
        def probabilities(self, text):
            return {label: float(label == "ABC"[int(text.split()[-2]) % 3]) for label in "ABC"}

    rows, batches = [], []
    for window in (32, 1):
        method = AdaptiveRAG()
        method._router = ByNumber()
        machine = engine(method, window=window)
        rows.append(run(machine, asked))
        batches.append(sum(machine.channels[k].batches for k in machine.channels if k != "search"))
    assert rows[0] == rows[1]
    assert {route_note(row)["label"] for row in rows[0].values()} == {"A", "B", "C"}
    assert batches[0] * 3 <= batches[1]
