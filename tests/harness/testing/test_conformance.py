from __future__ import annotations

import pytest

from harness.errors import CapabilityError, HarnessError
from harness.records import Prediction
from harness.testing.conformance import check_method
from harness.testing.findings import BrokenRuleError
from harness.testing.models import RuleModel
from tests.harness.testing.broken_methods import (
    BadDefault,
    Busy,
    Elsewhere,
    Endless,
    EndlessSearch,
    FloatStorage,
    Formatting,
    Fragile,
    Good,
    Greedy,
    Inventing,
    Loose,
    NeedsPassages,
    NegativeStorage,
    NoCard,
    NoDefault,
    Normalising,
    NoStorage,
    NotAsync,
    NoTitle,
    NotLoading,
    Numeric,
    OddStorage,
    OldWriting,
    OnlyWriting,
    Peeking,
    Pickling,
    Random,
    Remembering,
    Stranger,
    Thawed,
    ThinkingAloud,
    Undescribed,
)


def test_a_good_method_passes_and_what_was_checked_is_told():
    kept = check_method(Good)
    assert check_method(Good, {"k": 1}) == kept
    assert kept == (
        "a method has a card",
        "a memory has write(), load() and storage()",
        "parameters are frozen, described and strict",
        "the constructor only stores parameters",
        "answer is 'async def answer(self, query)'",
        "answers depend on the question and the seed alone",
        "storage() reports bytes by part",
        "the memory is what write() left in its folder",
        "odd replies and empty results get an answer in a bounded number of calls",
        "thoughts are no part of a prompt, a query or an answer",
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (NoCard, "set card = MethodCard"),
        (NoTitle, "card.title is empty"),
        (Undescribed, r"Params.depth needs Field\(…, description=…\)"),
        (Loose, "keep extra='forbid'"),
        (Thawed, "keep frozen=True"),
        (Stranger, "derive from MethodParams"),
        (BadDefault, "defaults must be valid"),
        (NoDefault, "defaults must be valid"),
        (Busy, "it also sets cache"),
        (NotAsync, "not a coroutine function"),
        (Greedy, "it takes one query, no more"),
        (Peeking, "plain questions, question q0: AttributeError: 'Query' object"),
        (Numeric, "must return a Prediction with a text"),
        (Inventing, "passages come from the corpus.*made-up"),
        (Remembering, "question and the seed alone.*asked again.*answer"),
        (Random, "question and the seed alone.*in a second run"),
        (Endless, "at most 200 calls a question.*bound every loop"),
        (EndlessSearch, "at most 200 calls a question"),
        (Fragile, "an empty reply, completion model.*IndexError"),
        (NeedsPassages, "a retriever that finds 0 passages.*IndexError"),
        (Normalising, "probabilities of 0.0.*ZeroDivisionError"),
        (ThinkingAloud, "a model that thinks, question q0: answer"),
        (Formatting, "question q5: KeyError: 'trade'"),
        (NegativeStorage, "text = -1, not a number of bytes"),
        (FloatStorage, "memory vectors = 1.5"),
        (OddStorage, r"unknown parts \['vectors'\] \(known: \['adapters'"),
        (NoStorage, "it returned dict"),
        (Pickling, "memory.pkl: use safetensors, npy or JSON"),
        (Elsewhere, "memory is what.*FileNotFoundError"),
        (NotLoading, "plain questions, question q0: AttributeError"),
        (
            OnlyWriting,
            r"write\(\) but no load\(\) and no storage\(\); write\(corpus, train, fo",
        ),
        (OldWriting, r"OldWriting.write must take \(corpus, train, folder\)"),
    ],
)
def test_the_broken_rule_is_named(cls, message):
    with pytest.raises(BrokenRuleError, match=message) as caught:
        check_method(cls)
    assert str(caught.value).startswith(f'{cls.__name__} breaks the rule "')
    assert isinstance(caught.value, HarnessError) and isinstance(caught.value, AssertionError)


class Soft(Good):
    needs = frozenset({"soft-prompts"})

    async def answer(self, query):
        return Prediction((await self.llm.generate(f"{query.text} {self.llm.model.name}")).text)


def test_methods_with_needs_ask_for_a_model():
    with pytest.raises(CapabilityError, match=r"give one to check_method\(…, model=…\)"):
        check_method(Soft)


def test_a_model_of_ones_own_is_asked_except_for_strange_replies():
    asked = []

    def reply(request):
        asked.append(request.prompt)
        return "mine"

    model = RuleModel(reply, name="soft")
    model.capabilities = frozenset({"soft-prompts"})
    check_method(Soft, model=model)
    # plain, second run, one at a time, in reverse, in another place: eight questions each
    assert len(asked) == 5 * 8
    assert all(prompt.endswith("soft") for prompt in asked)


def test_a_larger_bound_can_be_allowed():
    class Thorough(Good):
        async def answer(self, query):
            for n in range(300):
                await self.llm.generate(f"{query.text} {n}")
            return Prediction("")

    with pytest.raises(BrokenRuleError, match="at most 200 calls"):
        check_method(Thorough)
    check_method(Thorough, max_calls=300)
