"""A method that keeps every rule, and methods that break one each, as authors do."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import pickle
import random
import socket
import time
import zipfile
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness import trace
from harness.method import Method, MethodCard, MethodParams
from harness.records import Passage, Prediction, StorageReport
from harness.registry import task_folder


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
        for turn in range(2):
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
    needs = frozenset({"next-token-probs"})

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


class NoMethod:
    card = MethodCard("NoMethod", "Has all it takes but the base class.")

    async def answer(self, query):
        return Prediction("")


class NoBytes(Good):
    def storage(self):
        raise NotImplementedError("later")


class OnlyNowhere(Good):
    only_answers = frozenset({"depth"})


class Crashing(Good):
    class Params(Good.Params):
        @model_validator(mode="before")
        @classmethod
        def _fill(cls, values):
            return {**values, "k": values["n"]}


class Restless(Good):
    _numbers = itertools.count()

    @property
    def retriever_name(self):
        return f"bm25-{next(self._numbers)}"


class Oracle(Good):
    """Controls may; a method whose card does not say so may not."""

    async def answer(self, query):
        return Prediction(self.lent.gold[query.id].golden_answers[0])


class HalfAnOracle(Good):
    async def answer(self, query):
        found = self.gold.get(query.id)
        return Prediction(found.golden_answers[0] if found else "")


class Text(Good):
    async def answer(self, query):
        return (await self.llm.generate(query.text)).text


class Nothing(Good):
    async def answer(self, query):
        await self.llm.generate(query.text)


class Ids(Good):
    async def answer(self, query):
        return Prediction("", [p.id for p in await self.retriever.search(query.text, k=2)])


class Misread(Good):
    async def answer(self, query):
        return Prediction("", await self.retriever.search(query.text, k=2), read=["d999"])


class NotAwaiting(Good):
    async def answer(self, query):
        return Prediction(self.llm.generate(query.text).text)


class Forgetting(Good):
    async def answer(self, query):
        self.retriever.search(query.text, k=2)
        return Prediction("")


class Handing(Good):
    async def answer(self, query):
        return self._later(query)

    async def _later(self, query):
        return Prediction(query.text)


class HalfACharacter(Good):
    async def answer(self, query):
        return Prediction("\ud83d")


class Mutating(Good):
    async def answer(self, query):
        query.text = query.text.lower()
        return Prediction(query.text)


class Global(Good):
    asked: ClassVar[list[str]] = []

    async def answer(self, query):
        self.asked.append(query.id)
        return Prediction(str(len(self.asked)))


class Undeclared(Good):
    async def answer(self, query):
        scores = await self.llm.score(query.text, ["yes", "no"])
        return Prediction(str(scores.logprobs[0] > scores.logprobs[1]))


class Deaf(Good):
    async def answer(self, query):
        while True:
            try:
                return Prediction((await self.llm.generate(query.text)).text)
            except:  # noqa: E722
                continue


class Insisting(Good):
    async def answer(self, query):
        try:
            return Prediction((await self.llm.generate(query.text)).text)
        except BaseException:
            return Prediction("none")


class DeafAndEndless(Good):
    async def answer(self, query):
        while True:
            with contextlib.suppress(BaseException):
                await self.llm.generate(query.text)


class Waiting(Good):
    async def answer(self, query):
        await asyncio.Event().wait()


class Spinning(Good):
    async def answer(self, query):
        while True:
            pass


class SpinningOnOddReplies(Good):
    async def answer(self, query):
        reply = await self.llm.generate(query.text)
        while not reply.text:
            pass
        return Prediction(reply.text)


class SlowToWrite(Good):
    def write(self, corpus, train, folder):
        time.sleep(20)


class SlowToLoad(Good):
    def load(self, folder):
        while not (folder / "done").exists():
            pass


class FailingToWrite(Good):
    def write(self, corpus, train, folder):
        (folder / "titles.json").write_text(json.dumps({p: p.title for p in corpus}))


class FailingToLoad(Good):
    def load(self, folder):
        self.titles = json.loads((folder / "index.json").read_text())


class OfTheClass(Good):
    """Remembers in the class what it wrote last, of whatever corpus that was."""

    def write(self, corpus, train, folder):
        super().write(corpus, train, folder)
        type(self).texts = {p.id: p.text for p in corpus}

    async def answer(self, query):
        found = await self.retriever.search(query.text, k=1)
        return Prediction(" ".join(self.texts[p.id] for p in found), found)


class Hidden(Good):
    """A pickle by another name, as torch.save writes it."""

    def write(self, corpus, train, folder):
        super().write(corpus, train, folder)
        with zipfile.ZipFile(folder / "memory.dat", "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(1))


class Learning(Good):
    def load(self, folder):
        super().load(folder)
        self.folder = folder

    async def answer(self, query):
        (self.folder / f"{query.id}.json").write_text("{}")
        return Prediction("")


class Littering(Good):
    async def answer(self, query):
        Path("log.txt").write_text(query.text)
        return Prediction("")


class Moving(Good):
    def load(self, folder):
        super().load(folder)
        os.chdir(folder)


class Setting(Good):
    def load(self, folder):
        super().load(folder)
        os.environ["MEMORY_HARNESS_TEST"] = "1"


class Seeding(Good):
    async def answer(self, query):
        import torch

        torch.manual_seed(7)
        return Prediction("")


class Calling(Good):
    async def answer(self, query):
        with contextlib.suppress(OSError), socket.socket() as line:
            line.connect(("127.0.0.1", 9))
        return Prediction("")


class InOrderOfReplies(Good):
    async def answer(self, query):
        replies = []

        async def ask(part):
            replies.append((await self.llm.generate(f"{query.text} {part}")).text)

        await asyncio.gather(*map(ask, range(3)))
        return Prediction(" ".join(replies))


class FirstDone(Good):
    async def answer(self, query):
        asked = [asyncio.ensure_future(self._ask(query, n, 0)) for n in range(3)]
        return Prediction((await next(asyncio.as_completed(asked))).text)


class NeedsDemonstrations(Good):
    async def answer(self, query):
        shown = self.prompts.examples[0].question
        return Prediction((await self.llm.generate(f"{shown.text} {query.text}")).text)


class NeedsTrain(Good):
    def write(self, corpus, train, folder):
        super().write(corpus, train, folder)
        (folder / "first.json").write_text(json.dumps(train[0].text))


class NeedsGoldPassages(Good):
    async def answer(self, query):
        shown = [example.passages[0].text for example in self.prompts.examples]
        return Prediction((await self.llm.generate(f"{shown} {query.text}")).text)


class Spying(Good):
    async def answer(self, query):
        with (task_folder("nq") / "sample" / "questions.jsonl").open() as file:
            known = json.loads(file.readline())
        return Prediction(known["golden_answers"][0] if query.text == known["question"] else "")


class OfOneModel(Good):
    async def answer(self, query):
        return Prediction(str(self.llm.model.tokenizer(query.text)))


class Blocking(Good):
    async def answer(self, query):
        time.sleep(0.001)
        return Prediction("")


class Printing(Good):
    async def answer(self, query):
        print("asked", query.id)
        return Prediction("")


class Following(Good):
    """Brings its memory to another corpus: a good revision."""

    def revise(self, changes, train, folder):
        titles = {id: title for id, title in self.titles.items() if id not in changes.deleted}
        titles |= {passage.id: passage.title for passage in (*changes.updated, *changes.added)}
        (folder / "titles.json").write_text(json.dumps(titles))

    def digests(self):
        return {id: title.encode() for id, title in self.titles.items()}


class Stale(Following):
    def revise(self, changes, train, folder):
        """As it was."""


class Hoarding(Following):
    def revise(self, changes, train, folder):
        titles = {passage.id: passage.title for passage in (*changes.updated, *changes.added)}
        (folder / "titles.json").write_text(json.dumps({**self.titles, **titles}))


class Asks(Good):
    """Writes what the model says of each passage: a good write that asks."""

    async def write(self, corpus, train, folder):
        said = await self.each(corpus, self._say)
        (folder / "titles.json").write_text(json.dumps(dict(zip(corpus.ids, said, strict=True))))

    async def _say(self, passage):
        first = await self.llm.generate(f"Which names? {passage.text}", temperature=0.5)
        found = await self.retriever.search(passage.text, k=2)
        second = await self.llm.generate(f"{first.text} {found[-1].title}")
        return f"{first.text} {second.text}"


class ForgetsWhatItAsked(Asks):
    """Asks in other words in every session."""

    sessions = itertools.count()

    async def write(self, corpus, train, folder):
        self.session = next(self.sessions)
        await super().write(corpus, train, folder)

    async def _say(self, passage):
        await self.llm.generate(f"{self.session}: {passage.text}")
        return passage.title


class WritesAsItComes(Asks):
    """Keeps replies in the order in which they come."""

    async def write(self, corpus, train, folder):
        self.said = {}
        await self.each(corpus, self._keep)
        (folder / "titles.json").write_text(json.dumps(self.said))

    async def _keep(self, passage):
        self.said[passage.id] = await self._say(passage)


class CountsSessions(Asks):
    """Keeps in its scratch folder what decides the bytes."""

    async def write(self, corpus, train, folder):
        mark = self.scratch / "again"
        (folder / "sessions.json").write_text(json.dumps(mark.exists()))
        mark.touch()
        await super().write(corpus, train, folder)
