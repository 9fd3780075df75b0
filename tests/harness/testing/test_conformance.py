from __future__ import annotations

import asyncio
import json
import pickle
import random
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field

from harness import trace
from harness.errors import CapabilityError, HarnessError
from harness.method import Method, MethodCard, MethodParams
from harness.records import Passage, Prediction, StorageReport
from harness.testing.conformance import BrokenRuleError, check_method
from harness.testing.models import RuleModel


class Good(Method):
    """Keeps every rule; the others below break one each."""

    card = MethodCard("Good", "A memory of titles, two branches and a bounded loop.")
    retriever_name = "bm25"

    class Params(MethodParams):
        k: int = Field(3, ge=1, description="passages")

    def write(self, corpus, train, folder):
        titles = {passage.id: passage.title for passage in corpus}
        (folder / "titles.json").write_text(json.dumps(titles))

    def load(self, folder):
        self.titles = json.loads((folder / "titles.json").read_text())

    async def answer(self, query):
        passages = await self.retriever.search(query.text, k=self.params.k)
        for turn in range(3):
            replies = await asyncio.gather(*(self._ask(query, n, turn) for n in range(2)))
            if any("yes" in reply.text for reply in replies):
                break
        titles = [self.titles[passage.id] for passage in passages]
        trace.note("titles", titles=titles)
        return Prediction(" ".join([replies[0].first_line, *titles]), passages)

    def storage(self):
        return StorageReport({"memory vectors": sum(map(len, self.titles.values()))}, 10)

    async def _ask(self, query, branch, turn):
        return await self.llm.generate(f"{query.text} {branch} {turn}", temperature=0.5)


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
    )


class NoCard(Good):
    card = None


class NoTitle(Good):
    card = MethodCard(" ", "Something.")


class Undescribed(Good):
    class Params(Good.Params):
        depth: int = 1


class Loose(Good):
    class Params(Good.Params):
        model_config = ConfigDict(extra="allow")


class Thawed(Good):
    class Params(Good.Params):
        model_config = ConfigDict(frozen=False)


class Stranger(Good):
    class Params(BaseModel):
        k: int = Field(1, description="passages")


class BadDefault(Good):
    class Params(Good.Params):
        depth: int = Field(0, ge=1, description="rounds")


class NoDefault(Good):
    class Params(Good.Params):
        depth: int = Field(description="rounds")


class Busy(Good):
    def __init__(self, params=None):
        super().__init__(params)
        self.cache = {}


class NotAsync(Good):
    def answer(self, query):
        return Prediction("")


class Greedy(Good):
    async def answer(self, query, gold):
        return Prediction("")


class Peeking(Good):
    async def answer(self, query):
        return Prediction(query.golden_answers[0])


class Numeric(Good):
    async def answer(self, query):
        return Prediction(42)


class Inventing(Good):
    async def answer(self, query):
        return Prediction("", [Passage("made-up", "", "")])


class Remembering(Good):
    async def answer(self, query):
        seen = getattr(self, "seen", 0)
        self.seen = seen + 1
        return Prediction(f"answer {seen}")


class Random(Good):
    async def answer(self, query):
        return Prediction(str(random.random()))


class Endless(Good):
    async def answer(self, query):
        while True:
            try:
                reply = await self.llm.generate(query.text)
                if "FINAL" in reply.text:
                    return Prediction(reply.text)
            except Exception:
                continue


class EndlessSearch(Good):
    async def answer(self, query):
        while not await self.retriever.search("nowhere to be found", k=1):
            pass
        return Prediction("")


class Fragile(Good):
    async def answer(self, query):
        reply = await self.llm.generate(query.text)
        return Prediction(reply.text.splitlines()[0])


class NeedsPassages(Good):
    async def answer(self, query):
        passages = await self.retriever.search("Vell", k=2)
        return Prediction(passages[0].title, passages)


class Normalising(Good):
    async def answer(self, query):
        probs = (await self.llm.next_token_probs(query.text, ["Yes", "No"])).probs
        return Prediction(str(probs["Yes"] / sum(probs.values()) > 0.5))


class Formatting(Good):
    async def answer(self, query):
        return Prediction(("Q: " + query.text + " by {}").format("me"))


class NegativeStorage(Good):
    def storage(self):
        return StorageReport({"text": -1}, 10)


class FloatStorage(Good):
    def storage(self):
        return StorageReport({"memory vectors": 1.5}, 10)


class OddStorage(Good):
    def storage(self):
        return StorageReport({"vectors": 1}, 10)


class NoStorage(Good):
    def storage(self):
        return {"text": 1}


class Pickling(Good):
    def write(self, corpus, train, folder):
        super().write(corpus, train, folder)
        (folder / "memory.pkl").write_bytes(pickle.dumps(len(corpus)))


class Elsewhere(Good):
    """Remembers where its memory was written, not where it lies."""

    def write(self, corpus, train, folder):
        super().write(corpus, train, folder)
        (folder / "place.txt").write_text(str(folder))

    def load(self, folder):
        super().load(Path((folder / "place.txt").read_text()))


class NotLoading(Good):
    def load(self, folder):
        pass


class OnlyWriting(Method):
    card = MethodCard(
        "OnlyWriting", "Would stand on the board with 0 MB, and break in its next run."
    )

    def write(self, corpus, train, folder):
        self.titles = [passage.title for passage in corpus]

    async def answer(self, query):
        return Prediction(self.titles[0])


class OldWriting(Good):
    def write(self, corpus, train):
        self.titles = {passage.id: passage.title for passage in corpus}


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
