"""Parametric QA: the model reads learned memories of documents in the place of their text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from harness import trace
from harness.errors import ConfigError
from harness.method import MethodCard, later
from harness.records import Hit, Passage, Prediction, Query, Question, StorageReport
from methods.parametric_qa.apart import WATCHED, agreed
from methods.parametric_qa.banked import Banked, BankParams
from methods.parametric_qa.prompts import reading_prompt

if TYPE_CHECKING:
    import torch

    from harness.data.corpus import Corpus
    from harness.data.corpus_changes import CorpusChanges
    from harness.llm.requests import Reply
    from methods.parametric_qa.by_words import WordChooser
    from methods.parametric_qa.choose import Chooser, Chosen
    from methods.parametric_qa.memory.bank import MemoryBank
    from methods.parametric_qa.memory.pages import Pages
    from methods.parametric_qa.memory.titles import Titles
    from methods.parametric_qa.shared.bundle import Bundle
    from methods.parametric_qa.shared.selection import Selection


Selecting = Literal["cosine", "router", "attention", "words", "words+attention"]
BY_WORDS = frozenset({"words", "words+attention"})
BY_PAGES = BY_WORDS | {"attention"}


class ParametricQA(Banked):
    """Write every document into a memory of a few vectors; read the memories a question selects."""

    card = MethodCard(
        title="Parametric QA",
        summary="Each document is a learned memory of a few vectors that the model reads.",
        paper="the proposal 'LLM as Memory' (2026); Kuratov et al., ACL 2025; Cheng et al., xRAG, "
        "NeurIPS 2024; Ge et al., ICAE, ICLR 2024",
        source="none; the proposal's own code is not followed where it is wrong",
        version=2,
        deviations=(
            "z = U c with a shared U, so that z_dim is what is stored, in 8 bits a number (-p "
            "code_dtype=float16); the proposal's code stores vectors of the model's own width.",
            "Memories are written in one pass by default (means of spans of equal salience); "
            "-p steps=100 optimises them as the proposal does: for reconstruction alone, without "
            "questions made of the document.",
            "Every token, the first and the end among them, is trained on its own place; the "
            "proposal's code trains on the token after it.",
            "Memories are input vectors; keys and values of every layer, which hold more (Gist, "
            "500xCompressor), are not built.",
            "The shipped shared parts were trained on answers alone: no loss for reconstruction, "
            "none from a teacher that reads the text (both are there, in recipes).",
            "Selection compares the question's token embeddings with every slot, exactly: a vector "
            "index whose time grows with the pool. The proposal's cosine of means is -p "
            "selection=cosine.",
            "The selector is trained after the reader by InfoNCE with BM25's negatives; the loss "
            "of the answer does not reach it.",
            "Several rounds (-p hops=2) go on with the question's tokens that no chosen memory "
            "covers; the proposal's update of the query is learned. They stop by a fixed rule, or "
            "by the learned one of parts whose recipe has stop: learned, which none that ship has.",
            "One memory is read by default and five are ranked: the shipped reader got worse with "
            "more; the proposal reads the five best (-p k=5). The best one comes last, next to the "
            "question.",
            "A chat model finds its memories in the user's turn, numbered, after an instruction. A "
            "completion begins with them, each after a learned mark, and has no instruction.",
            "A reasoning model is trained on answers without thoughts and written for without "
            "them, but thinks when it reads, unless its entry says thinking: off.",
            "The reader was tuned on train questions; parametric-qa-closed-book and "
            "parametric-qa-bm25 are what tuning alone gives.",
            "Full-size models (Llama-3.1-8B with QLoRA) were not run here.",
        ),
    )

    class Params(BankParams):
        """Parameters of writing, selecting and reading."""

        init: Literal["random", "spans", "encoder"] | None = Field(
            None,
            description="what a code is before optimisation; null: as the shared parts were "
            "trained, else spans",
        )
        steps: int = Field(0, ge=0, le=1000, description="optimisation steps on each code")
        learning_rate: float = Field(0.3, gt=0, description="of the optimisation steps")
        size: str | None = later(
            None,
            description="slots x numbers x bits of a memory, one of several that shared parts were "
            "trained for; null: their first. Its bits decide how codes are stored. Of codes that "
            "are tokens: how many",
        )
        selection: Selecting | None = Field(
            None,
            description="how memories are selected; words: by BM25 over the tokens that codes are, "
            "if they are, words+attention: by both; null: as the shared parts were trained",
        )
        # On 88 held-out NQ train questions the shipped reader reached F1 14.8 with one memory, 8.8
        # with two and 6.6 with three.
        k: int = Field(1, ge=1, le=100, description="memories that are read")
        ranked: int = Field(
            5, ge=1, le=100, description="selected documents that are reported, read or not"
        )
        reading: Literal["together", "apart"] = later(
            "together",
            description="how several memories are read: in one prompt, or each in its own, and the "
            "answer is the one that the reader is surest of over all, later ones counting "
            "less",
        )
        hops: int = Field(1, ge=1, le=4, description="rounds of selection")
        # Recall@5 of 150 held-out train questions (88 of NQ's, 37 of MuSiQue's, 25 of TriviaQA's)
        # with 0.5 and without: 64 tokens of each passage by words and attention, 93.2 and 89.8,
        # 55.0 and 49.3, 98.0 and 98.0 (with 0.25: 92.0, 52.3, 98.0; with 1: 93.2, 54.1, 98.0);
        # vectors by attention, 87.5 and 88.6, 46.8 and 44.1, 88.7 and 87.3. HotpotQA's pages are
        # one passage each.
        pages: float | None = later(
            None,
            gt=0,
            description="what the score of a page, all documents of one title together, counts "
            "beside a document's own, for attention and words; null: pages are not looked at",
        )

        links: float | None = later(
            None,
            gt=0,
            description="what it counts that the best document names another in its text, beside "
            "that one's score, for words+attention; null: names are not looked at",
        )

        @field_validator("size", mode="before")
        @classmethod
        def _written(cls, size: object) -> object:
            return str(size) if type(size) is int else size

    only_answers = frozenset({"k", "ranked", "reading", "hops", "max_tokens"})
    params: Params
    _chooser: Chooser | WordChooser
    _pages: Pages | None
    _titles: Titles | None

    @property
    def selection(self) -> Selection | None:
        """How memories are selected; None: as the shared parts were trained."""
        return self.params.selection

    @property
    def size(self) -> str | None:
        """One of several sizes that shared parts were trained for; None: their first."""
        return self.params.size

    async def answer(self, query: Query) -> Prediction:
        """Select memories, then read them, the best one last."""
        with trace.timed("select"):
            chosen = self._choose(query)
        return await self._by_memory(query, chosen)

    async def _by_memory(self, query: Query, chosen: Sequence[Chosen]) -> Prediction:
        """Read memories of what was chosen."""
        read = self._read(chosen, query)
        self._note(chosen, read)
        ranked = [Hit(c.id, c.score) for c in chosen]
        if self.params.reading == "apart" and len(read) > 1:
            each = await asyncio.gather(*(self._reply(query, [id_], WATCHED) for id_ in read))
            return Prediction(answer=agreed(each), ranked=ranked, read=read)
        reply = await self._reply(query, read)
        return Prediction(answer=reply.first_line, ranked=ranked, read=read)

    async def _reply(self, query: Query, read: Sequence[str], *watch: str) -> Reply:
        memories = self._memories(read)
        return await self.llm.generate(
            reading_prompt(query.text, len(memories), self.prompts.demonstrations),
            max_tokens=self.params.max_tokens,
            soft_prompts=memories,
            one_line=True,
            watch=watch,
        )

    def check_bundle(self, bundle: Bundle | None) -> None:
        """Some ways of selecting know one round alone, and one needs words."""
        super().check_bundle(bundle)
        by_words = self.selection in BY_WORDS
        if by_words and (bundle is None or not bundle.parts.config.picks):
            raise ConfigError(
                f"selection = {self.selection}: the codes of these shared parts are no tokens of "
                "the text; leave it out, or take parts that were trained with picks: true"
            )
        trained = bundle.selection.name if bundle is not None else None
        if self.params.pages and (self.selection or trained or "attention") not in BY_PAGES:
            raise ConfigError(
                f"pages = {self.params.pages:g}: pages are found by attention or by words; leave "
                "it out, or set selection: attention"
            )
        if self.params.links and self.selection != "words+attention":
            raise ConfigError(
                f"links = {self.params.links:g}: what a document names is found by words and "
                "attention; set links: null, or selection: words+attention"
            )
        by_state = bundle is not None and bundle.question_encoder is not None
        if self.params.hops > 1 and (by_words or by_state):
            raise ConfigError(
                "shared parts that select by the question's state, or by words, do so in one "
                "round; set hops: 1"
            )

    def load(self, folder: Path) -> None:
        """Open the bank and compute the keys of its memories.

        Raises ConfigError unless it was written with this model and these shared parts, of the
        run's corpus.
        """
        from methods.parametric_qa.by_words import WordChooser, WordsAndAttention
        from methods.parametric_qa.choose import Chooser
        from methods.parametric_qa.memory.pages import Pages
        from methods.parametric_qa.memory.titles import Titles

        super().load(folder)
        params, documents = self.params, len(self._bank)
        self._pages = Pages.load(folder, documents, params.pages) if params.pages else None
        self._titles = Titles.load(folder, documents, params.links) if params.links else None
        asked = self.model, self._bundle, self._bank, self._pages
        if self.selection == "words":
            self._chooser = WordChooser(*asked)
        elif self.selection == "words+attention":
            self._chooser = WordsAndAttention(*asked, self._titles)
        else:
            self._chooser = Chooser(*asked)

    def revise(self, changes: CorpusChanges, train: Sequence[Question], folder: Path) -> None:
        """Write the codes of new and updated documents, remove those of deleted ones."""
        from methods.parametric_qa.columns import column_files

        # One that is killed on its way leaves no columns rather than those of other documents.
        for path in column_files(folder):
            path.unlink(missing_ok=True)
        super().revise(changes, train, folder)
        self._write_columns(self._bank, changes.corpus, folder)

    def storage(self) -> StorageReport:
        """The bank's files, ids, pages and titles included, and what all share: maps, selector,
        adapter."""
        from methods.parametric_qa.columns import column_files

        columns = (path for path in column_files(self._bank.folder.parent) if path.exists())
        own = self._bank.file_bytes + sum(path.stat().st_size for path in columns)
        parts = {"memory vectors": own, "shared parameters": self._bundle.bytes}
        return StorageReport(parts, len(self._bank))

    def _save_beside(self, bank: MemoryBank, corpus: Corpus, folder: Path) -> None:
        super()._save_beside(bank, corpus, folder)
        self._write_columns(bank, corpus, folder)

    def _write_columns(self, bank: MemoryBank, corpus: Corpus, folder: Path) -> None:
        from methods.parametric_qa.columns import write_columns

        pages, links = bool(self.params.pages), bool(self.params.links)
        write_columns(self.model, bank, corpus, folder, pages=pages, links=links)

    def _codes(self, passages: Sequence[Passage]) -> torch.Tensor:
        from methods.parametric_qa.write.codes import write_codes

        return write_codes(self.model, self._bundle, passages, self.params, self.seed, self.scratch)

    def _choose(self, query: Query) -> list[Chosen]:
        """What is read, then what is only ranked."""
        params = self.params
        if params.hops == 1:
            return self._chooser.choose(query.text, max(params.k, params.ranked))
        read = self._chooser.choose(query.text, params.k, params.hops)
        if params.ranked <= params.k:
            return read
        used = {c.id for c in read}
        more = self._chooser.choose(query.text, params.ranked)
        return [*read, *(c for c in more if c.id not in used)][: params.ranked]

    def _read(self, chosen: Sequence[Chosen], query: Query) -> list[str]:
        """Ids of the memories that are read, best first."""
        return [c.id for c in chosen[: self.params.k]]

    def _note(self, chosen: Sequence[Chosen], read: Sequence[str]) -> None:
        trace.note(
            "select",
            retrieved_ids=[c.id for c in chosen],
            scores=[round(c.score, 4) for c in chosen],
            hops=[c.hop for c in chosen],
            memories_read=list(read),
        )
