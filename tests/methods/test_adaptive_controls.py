"""The oracle and the dataset prior."""

from __future__ import annotations

import pytest

from harness.data.corpus import Corpus
from harness.errors import InputError
from harness.testing.conformance import check_method
from harness.testing.models import ScriptedModel
from methods.adaptive_rag.controls import AdaptiveRAGDatasetPrior, AdaptiveRAGOracle
from tests.harness.programs import remember
from tests.methods.adaptive_lab import CORPUS, able, ask, engine, question, route_note, run

ASKED = question(5)


def oracle(correct, model=None, **params):
    method = AdaptiveRAGOracle(AdaptiveRAGOracle.Params(k=1, hop_k=2, **params))
    return ask(method, model or able({ASKED.text: correct}), ASKED)


@pytest.mark.parametrize(
    ("correct", "label", "calls", "searches", "passages"),
    [
        ("A", "A", 1, 0, 0),
        ("B", "B", 2, 1, 1),
        ("C", "C", 4, 2, 2),
        ("AB", "A", 1, 0, 0),
        ("AC", "A", 1, 0, 0),
        ("BC", "B", 2, 1, 1),
        ("ABC", "A", 1, 0, 0),
    ],
)
def test_the_first_correct_route_is_taken_and_none_after_it(
    correct, label, calls, searches, passages
):
    found = oracle(correct)
    assert (found.answer, found.raw) == ("yes 5", "yes 5")
    assert route_note(found) == {"label": label, "correct": True}
    assert (found.usage.llm_calls, found.usage.retrievals) == (calls, searches)
    assert len(found.ranked) == passages


def test_without_a_correct_route_the_answer_is_that_of_one_retrieval():
    replies = ["from memory", "from a page\nmore", "So the answer is: x.", "from pages"]
    found = oracle("", ScriptedModel(replies))
    assert (found.answer, found.raw) == ("from a page", "from a page")
    assert route_note(found) == {"label": "B", "correct": False}
    assert found.ranked_ids == ["p0"]
    assert found.usage.llm_calls == 4


def test_correct_means_equal_after_normalisation_with_any_golden_answer():
    found = oracle("", ScriptedModel(["The YES, 5!"]))
    assert route_note(found) == {"label": "A", "correct": True}
    assert found.answer == "The YES, 5!"


def test_an_answer_that_only_contains_the_gold_is_not_correct():
    found = oracle("", ScriptedModel(["surely yes 5", "yes 5"]))
    assert route_note(found)["label"] == "B"


def test_the_oracle_is_marked_and_needs_the_gold():
    assert AdaptiveRAGOracle.card.oracle
    found = ask(AdaptiveRAGOracle(), able({}), ASKED, gold=False)
    assert found.error == "KeyError: 't5'"


def test_the_oracle_answers_alike_in_batches():
    asked = [question(n) for n in range(32)]
    correct = {q.text: "ABC"[n % 3] for n, q in enumerate(asked)}
    rows, batches = [], []
    for window in (32, 1):
        method = AdaptiveRAGOracle(AdaptiveRAGOracle.Params(k=1, hop_k=2))
        gold = {q.id: q for q in asked}
        machine = engine(method, able(correct), window=window, gold=gold)
        rows.append(run(machine, asked))
        batches.append(machine.channels["generate"].batches)
    assert rows[0] == rows[1]
    assert [route_note(row)["label"] for row in rows[0].values()][:4] == ["A", "B", "C", "A"]
    assert batches[0] * 3 <= batches[1]


def prior(hops, folder=None, **params):
    method = AdaptiveRAGDatasetPrior(AdaptiveRAGDatasetPrior.Params(k=1, hop_k=2, **params))
    engine(method)
    remember(method, CORPUS, [question(n, hops=h) for n, h in enumerate(hops)], folder)
    return method


@pytest.mark.parametrize(
    ("hops", "label", "calls", "passages"),
    [
        ([1, 1, 1], "B", 1, 1),
        ([2, 2, 2], "C", 2, 2),
        ([1, 2, 2], "C", 2, 2),
        ([1, 1, 4], "B", 1, 1),
        ([1, 2], "B", 1, 1),
        ([None, None], "B", 1, 1),
        ([None, 3, 3], "C", 2, 2),
        ([2], "C", 2, 2),
    ],
)
def test_the_prior_takes_the_route_of_most_train_questions(hops, label, calls, passages):
    found = ask(prior(hops), able({ASKED.text: label}), ASKED)
    assert found.answer == "yes 5"
    assert route_note(found) == {"label": label}
    assert (found.usage.llm_calls, len(found.ranked)) == (calls, passages)


@pytest.mark.parametrize("hops", [[1], [2]])
def test_the_prior_survives_saving(hops, tmp_path):
    method = prior(hops, tmp_path)
    other = AdaptiveRAGDatasetPrior(method.params)
    other.load(tmp_path)
    assert ask(other, able({}), ASKED) == ask(method, able({}), ASKED)
    assert [path.name for path in tmp_path.iterdir()] == ["route.json"]


def test_the_prior_does_not_look_at_the_question():
    found = [route_note(ask(prior([2]), able({}), question(n, "A"))) for n in range(5)]
    assert found == [{"label": "C"}] * 5


def test_the_prior_answers_alike_in_batches():
    asked = [question(n) for n in range(32)]
    rows, batches = [], []
    for window in (32, 1):
        machine = engine(prior([2]), window=window)
        rows.append(run(machine, asked))
        batches.append(machine.channels["generate"].batches)
    assert rows[0] == rows[1]
    assert batches[0] * 3 <= batches[1]


def test_the_prior_without_train_questions_names_the_fix(tmp_path):
    with pytest.raises(InputError, match="--train"):
        AdaptiveRAGDatasetPrior().write(Corpus.from_passages(CORPUS), [], tmp_path)


@pytest.mark.parametrize("cls", [AdaptiveRAGOracle, AdaptiveRAGDatasetPrior])
def test_conformance_with_other_parameters(cls):
    check_method(cls, {"shots": 0, "k": 1, "max_steps": 2})
