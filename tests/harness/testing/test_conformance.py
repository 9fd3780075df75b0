from __future__ import annotations

import sys

import pytest
from pydantic import Field

from harness.errors import CapabilityError, ConfigError, HarnessError
from harness.method import Method, MethodCard
from harness.records import Prediction
from harness.testing import rules_of_prefixes, rules_of_weights
from harness.testing.conformance import RULES, check_method, examine
from harness.testing.findings import BrokenRuleError
from harness.testing.models import RuleModel
from tests.harness.testing import broken_methods as broken
from tests.harness.testing.broken_methods import Good

CARD = "a method has a card"
WHOLE = "a memory has write(), load() and storage()"
STRICT = "parameters are frozen, described and strict"
DEFAULTS = "default parameters are valid"
SIGNATURE = "answer is 'async def answer(self, query)'"
STORAGE = "storage() reports bytes by part"
WRITES = "write() ends without an error"
GOES_ON = "write() goes on after a kill where it was"
ANY_ORDER = "write() does not depend on which call is answered first"
BEFORE = "what a run asks before it opens a method follows from the parameters"
LOADS = "load() opens what write() left"
CHANGES = "what a memory changes lies in its folder"
REVISED = "revise() leaves what write() would"
BOUNDED = "a question takes a bounded number of calls and ends"
GOLD = "gold answers are not looked at"
AWAITED = "every call is awaited"
ANSWERED = "every question gets an answer"
PREDICTION = "an answer is a Prediction with a text"
CORPUS = "passages come from the corpus"
JSON = "predictions fit into JSON"
SAME = "answers depend on the question and the seed alone"
NEEDS = "needs says what is asked of the model"
FOLDER = "the memory is what write() left in its folder"
PICKLES = "a memory holds no pickles"
UNTOUCHED = "load() and answer() leave the memory as it is"
STRANGE = "odd replies and empty results get an answer in a bounded number of calls"
THOUGHTS = "thoughts are no part of a prompt, a query or an answer"
CANCELLED = "an answer ends when it is cancelled"
FILES = "files are written in the method's own folders alone"
TASK = "nothing is taken from a task's files"
NO_TRAIN = "train questions may be missing"
NO_GOLD_PASSAGES = "gold passages of train questions may be missing"
PROCESS = "the process stays as it was"
NETWORK = "answers come from the model and the retriever that were lent"
BLOCKS = "answer() does not block"
PRINTS = "answer() prints nothing"

BROKEN = [
    (broken.NoMethod, "a method derives from harness.Method", r"write class NoMethod\(Method\)"),
    (broken.NoCard, CARD, "card is None; set card = MethodCard"),
    (broken.NoTitle, CARD, "card.title is empty; give it"),
    (broken.OnlyWriting, WHOLE, r"no load\(\) and no storage\(\); write\(corpus, train, fo"),
    (broken.OldWriting, WHOLE, r"OldWriting.write must take \(corpus, train, folder\)"),
    (broken.Stranger, "parameters derive from MethodParams", r"write class Params\(MethodParams"),
    (broken.Undescribed, STRICT, r"Params.depth needs Field\(…, description=…\)"),
    (broken.Loose, STRICT, "must keep extra='forbid'"),
    (broken.Thawed, STRICT, "must keep frozen=True"),
    (broken.BadDefault, DEFAULTS, "Params.depth: Input should be greater .* give Params.depth a"),
    (broken.NoDefault, DEFAULTS, "Params.depth: Field required"),
    (broken.Crashing, DEFAULTS, r"KeyError: 'n' \(.*broken_methods.py:\d+\)"),
    (broken.Busy, "the constructor only stores parameters", "it also sets cache; build it in"),
    (broken.Restless, BEFORE, "retriever_name is 'bm25-.*derive it from self.params"),
    (broken.OnlyNowhere, BEFORE, r"only_answers names no parameter: \['depth'\]; name"),
    (broken.NotAsync, SIGNATURE, r"not a coroutine function \(.*py:\d+\); write 'async def"),
    (broken.Greedy, SIGNATURE, "it takes one query, no more"),
    (broken.NegativeStorage, STORAGE, "text = -1, not a number of bytes"),
    (broken.FloatStorage, STORAGE, "memory vectors = 1.5"),
    (broken.OddStorage, STORAGE, r"unknown parts \['vectors'\] \(known: \['adapters'"),
    (broken.NoStorage, STORAGE, "it returned dict; return StorageReport"),
    (broken.NoBytes, STORAGE, r"NotImplementedError: later \(.*broken_methods.py:\d+\)"),
    (broken.FailingToWrite, WRITES, r"TypeError: keys must be .*broken_methods.py:\d+"),
    (broken.SlowToWrite, WRITES, r"write\(\) hangs: nothing happened for .* at .*methods.py:\d+"),
    (broken.CountsSessions, GOES_ON, r"killed after 15 of 30 calls and .* bytes; let corpus"),
    (broken.ForgetsWhatItAsked, GOES_ON, "10 calls were made without a kill, 5 before and 10 af"),
    (broken.WritesAsItComes, ANY_ORDER, "answered first, it left other bytes; use the results of"),
    (broken.FailingToLoad, LOADS, r"FileNotFoundError.*index.json.*broken_methods.py:\d+"),
    (broken.SlowToLoad, LOADS, r"load\(\) hangs: .* at .*broken_methods.py:\d+"),
    (broken.Endless, BOUNDED, "question q0 asks for more than 200 calls; bound every loop"),
    (broken.EndlessSearch, BOUNDED, "question q0 asks for more than 200 calls"),
    (broken.DeafAndEndless, BOUNDED, "asks for more than 200 calls"),
    (broken.Waiting, BOUNDED, r"answer\(\) hangs: nothing happened for 0.5 s.*methods.py:\d+"),
    (broken.Spinning, BOUNDED, r"answer\(\) hangs: .*broken_methods.py:\d+; await only"),
    (broken.Peeking, GOLD, r"q0: AttributeError: 'Query' .*methods.py:\d+\); answer from query"),
    (broken.Oracle, GOLD, r"self.gold is read at .*broken_methods.py:\d+; .*oracle=True"),
    (broken.HalfAnOracle, GOLD, r"self.gold is read at .*broken_methods.py:\d+"),
    (broken.NotAwaiting, AWAITED, r"'coroutine' object .*methods.py:\d+\); write 'await'"),
    (broken.Forgetting, AWAITED, r"RetrieverClient.search' was never awaited \(.*ds.py:\d+\)"),
    (broken.Handing, AWAITED, "q0: it returned <coroutine"),
    (broken.Formatting, ANSWERED, "question q5: KeyError: 'trade'"),
    (broken.Mutating, ANSWERED, "question q0: FrozenInstanceError"),
    (broken.OfOneModel, ANSWERED, "has no attribute 'tokenizer' .*or check with a --model"),
    (broken.Text, PREDICTION, "q0: it returned '.*must return a Prediction with a text"),
    (broken.Nothing, PREDICTION, "q0: it returned nothing"),
    (broken.Numeric, PREDICTION, "q0: its answer is 42"),
    (broken.Ids, PREDICTION, "q0: ranked holds 'd"),
    (broken.Inventing, CORPUS, "ranked holds Passage.*made-up"),
    (broken.Misread, CORPUS, "read holds 'd999'; name documents by their ids"),
    (broken.HalfACharacter, JSON, "surrogates not allowed; keep to texts"),
    (broken.Remembering, SAME, "asked again.*answer.*keep nothing of one question"),
    (broken.Global, SAME, "in a second run: question q0: answer '9', not '1'"),
    (broken.Random, SAME, r"in a second run.*random.Random\(f'"),
    (broken.InOrderOfReplies, SAME, r"the last is answered first: .*what asyncio.gather\(\) retu"),
    (broken.FirstDone, SAME, "the last is answered first: question q0: answer"),
    (broken.Undeclared, NEEDS, r"asks for score.*declare needs = frozenset\({'logprobs'}\)"),
    (broken.Elsewhere, FOLDER, "FileNotFoundError.*keep no path"),
    (broken.OfTheClass, FOLDER, "after another corpus was written: question q0: answer"),
    (broken.Pickling, PICKLES, "memory.pkl: use safetensors, npy or JSON"),
    (broken.Hidden, PICKLES, "memory.dat: use safetensors"),
    (broken.Stale, REVISED, r"after revise\(\): .*KeyError: 'd9'.*or say in revision_differs"),
    (broken.Hoarding, REVISED, r"digests\(\) names 'd-gone', which is not in the corpus any more"),
    (broken.Learning, UNTOUCHED, r"a file in it changed or came; write all of it in write\(\)"),
    (broken.Fragile, STRANGE, "an empty reply, completion model.*IndexError"),
    (broken.NeedsPassages, STRANGE, "a retriever that finds 0 passages.*IndexError"),
    (broken.Normalising, STRANGE, "probabilities of 0.0.*ZeroDivisionError"),
    (broken.SpinningOnOddReplies, STRANGE, r"nothing happened for .* at .*methods.py:\d+"),
    (broken.ThinkingAloud, THOUGHTS, "a model that thinks, question q0: answer"),
    (broken.Deaf, CANCELLED, "goes on, or returns, after asyncio.CancelledError; catch Exception"),
    (broken.Insisting, CANCELLED, "after asyncio.CancelledError"),
    (broken.Littering, FILES, r"in answer\(\) it wrote log.txt \(.*broken_methods.py:\d+\)"),
    (broken.Spying, TASK, r"in answer\(\) it opened .*questions.jsonl \(.*methods.py:\d+\)"),
    (
        broken.NeedsDemonstrations,
        NO_TRAIN,
        "no train questions, question q0: IndexError: .*prompts",
    ),
    (
        broken.NeedsTrain,
        NO_TRAIN,
        r"there are no train questions: IndexError: .*check_write\(train",
    ),
    (broken.NeedsGoldPassages, NO_GOLD_PASSAGES, "no gold passages, question q0: IndexError"),
    (broken.Moving, PROCESS, r"in load\(\) it changed the working folder"),
    (broken.Setting, PROCESS, "changed the environment variable MEMORY_HARNESS_TEST"),
    (broken.Seeding, PROCESS, r"in answer\(\) it changed torch's seed .* to 7"),
    (broken.Calling, NETWORK, r"in answer\(\) it reached for 127.0.0.1:9 \(.*methods.py:\d+\)"),
    (broken.Blocking, BLOCKS, r"it slept 0.001 s \(.*broken_methods.py:\d+\); await asyncio"),
    (broken.Printing, PRINTS, r"it printed 'asked q0.*harness.note"),
]
"""A method, the one rule that it breaks, and what is said of it."""
OF_COMMAND = {"importing it does nothing else", "another process gives the same answers"}
"""Rules that take a file or a module, as the command has one (tests/harness/authors)."""
OF_ASKING_WRITES = {GOES_ON, ANY_ORDER}
OF_WEIGHTS = {rule.name for rule in (*rules_of_weights.RULES, *rules_of_prefixes.RULES)}
"""Rules that take a model with weights (tests of these rooms); the first is for all memories."""
HANGING = {
    broken.SlowToWrite: 0.05,  # ten times as long for a memory
    broken.SlowToLoad: 0.05,
    broken.DeafAndEndless: 0.5,
    broken.Waiting: 0.5,
    broken.Spinning: 0.5,
    broken.SpinningOnOddReplies: 0.5,
}
"""Seconds in which nothing may happen, where a method takes them all."""


def test_a_good_method_passes_and_what_was_checked_is_told():
    kept = check_method(Good)
    assert check_method(Good, {"k": 1}) == kept
    everything = {rule.name for rule in RULES} - OF_COMMAND - (OF_WEIGHTS - {CHANGES})
    assert set(kept) == everything - OF_ASKING_WRITES - {REVISED}
    assert set(check_method(broken.Asks)) == everything - {REVISED}
    assert set(check_method(broken.Following)) == {*kept, REVISED}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("cls", "rule", "message"), BROKEN, ids=lambda value: str(value)[-30:])
def test_each_broken_method_is_caught_by_the_rule_meant_for_it(
    cls, rule, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMORY_HARNESS_TEST", "0")
    short = HANGING.get(cls, 30)
    for seconds in (short, 10 * short):  # on a busy machine what is soon done may take the former
        with pytest.raises(BrokenRuleError, match=message) as caught:
            check_method(cls, seconds=seconds)
        found = {breach.rule for breach in caught.value.findings.broken}
        if found == {rule} or cls not in HANGING:
            break
    assert found == {rule}
    assert str(caught.value).startswith(f'{cls.__name__} breaks the rule "{rule}": ')
    assert isinstance(caught.value, HarnessError) and isinstance(caught.value, AssertionError)


@pytest.mark.parametrize("cls", [broken.DeafAndEndless, broken.Waiting])
def test_a_method_that_hangs_holds_up_no_program_whose_code_is_traced(cls):
    """As by coverage or a debugger."""
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        with pytest.raises(BrokenRuleError, match="bounded number of calls"):
            check_method(cls, seconds=HANGING[cls])
    finally:
        sys.settrace(before)


def test_every_rule_can_be_broken():
    unbroken = {rule.name for rule in RULES} - {rule for _, rule, _ in BROKEN}
    # A class that cannot be made has broken parameters first.
    assert unbroken == {"a method can be made of its parameters", *OF_COMMAND, *OF_WEIGHTS}


def test_all_that_is_broken_is_told_and_what_could_not_be_checked():
    class Careless(broken.NoTitle, broken.Undescribed, broken.Pickling, broken.Nothing):
        pass

    found = examine(Careless)
    assert [breach.rule for breach in found.broken] == [CARD, STRICT, PREDICTION, PICKLES]
    assert (SAME, PREDICTION) in found.unchecked and THOUGHTS in dict(found.unchecked)
    assert {UNTOUCHED, STORAGE, PRINTS} <= set(found.kept)
    every = {*found.kept, *dict(found.unchecked), *(breach.rule for breach in found.broken)}
    left = OF_COMMAND | OF_ASKING_WRITES | OF_WEIGHTS | {REVISED}
    assert every - {CHANGES} == {rule.name for rule in RULES} - left


def test_a_method_without_a_memory_is_told_nothing_of_memories():
    class Plain(Method):
        card = MethodCard("Plain", "Asks.")

        async def answer(self, query):
            return Prediction((await self.llm.generate(query.text)).text)

    assert not {WRITES, FOLDER, PICKLES, UNTOUCHED} & set(check_method(Plain))


def test_a_method_that_says_which_train_questions_it_needs_may_need_them():
    class Learned(broken.NeedsTrain):
        def check_write(self, train):
            if not train:
                raise ConfigError("give some: --train FILE")

    assert {NO_TRAIN, NO_GOLD_PASSAGES} <= set(check_method(Learned))

    class Shown(broken.NeedsDemonstrations):
        class Params(Good.Params):
            shots: int = Field(2, ge=1, description="a run without so many is refused")

    assert {NO_TRAIN, NO_GOLD_PASSAGES} <= set(check_method(Shown))


def test_values_that_a_class_does_not_take_are_the_callers_fault():
    with pytest.raises(ConfigError, match="method 'Good' has no parameter 'depth'"):
        check_method(Good, {"depth": 1})


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
    # plain, second run, one at a time, in reverse, last first, elsewhere: eight questions each
    assert len(asked) == 6 * 8
    assert all(prompt.endswith("soft") for prompt in asked)


def test_a_larger_bound_can_be_allowed():
    class Thorough(Good):
        async def answer(self, query):
            for n in range(12):
                await self.llm.generate(f"{query.text} {n}")
            return Prediction("")

    with pytest.raises(BrokenRuleError, match="more than 10 calls"):
        check_method(Thorough, max_calls=10)
    check_method(Thorough, max_calls=12)
