"""A method that keeps every rule, and methods that break one each."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from harness import trace
from harness.method import Method, MethodCard, MethodParams
from harness.records import Passage, Prediction, StorageReport


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


class ThinkingAloud(Good):
    async def answer(self, query):
        reply = await self.llm.generate(query.text)
        return Prediction(f"{reply.thoughts}{reply.text}")


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
