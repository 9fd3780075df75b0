"""IRCoT: each retrieved paragraph informs the next thought, each thought the next retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from harness import trace
from harness.method import Method, MethodCard, MethodParams
from harness.prompts import Demonstration, Example
from harness.records import Passage, Prediction, Query
from harness.retrieval.languages import TermParams
from harness.retrieval.prebuilt import RETRIEVER, is_sparse
from methods.decomposition import stepless
from methods.ircot.parse import next_query, next_sentence, parse_answer, without_question_words
from methods.ircot.passages import LONGEST, collect, shown
from methods.ircot.prompts import thought_demonstrations, thought_prompt


class IRCoT(Method):
    """Retrieve with the question, think one sentence, retrieve with it, and so on; then read.

    Trivedi et al., Interleaving Retrieval with Chain-of-Thought Reasoning, ACL 2023. At most
    ``max_steps`` + 1 model calls and ``max_steps`` searches for a question.
    """

    card = MethodCard(
        title="IRCoT",
        summary="Each sentence of a chain of thought is the next query; a reader answers last.",
        paper="Trivedi et al., Interleaving Retrieval with Chain-of-Thought Reasoning, ACL 2023",
        source="StonyBrookNLP/ircot, commaqa/inference/ircot.py",
        version=2,
        deviations=(
            "The demonstrations' chains are made by rule from train questions (hop questions, "
            "supporting sentences); the paper's are written by hand.",
            "Two demonstrations show a chain (-p chain_shots); paragraphs are cut to the sentences "
            "that matter; the paper packs up to 15 with whole paragraphs.",
            "Distractor paragraphs of a demonstration are gold paragraphs of the others.",
            "A search gives 4 paragraphs and a demonstration has one distractor in every task; the "
            "authors choose both on 100 dev questions of each data set (2 to 8, and 1 to 3).",
            "The prompt is this harness's: an instruction, paragraphs as lines 'Passage: TITLE: "
            "TEXT', each sentence of the chain on a line of its own; the authors' has 'Wikipedia "
            "Title: TITLE' above a text, 'Q:' and 'A:'.",
            "Sentences are told apart by rules for English, in the authors' code by spaCy.",
            "A sentence has at most 64 tokens; the authors generate 200 and keep the first one.",
            "Of a reply, the first sentence that the chain does not hold yet is kept, and without "
            "one the chain ends; the authors' code keeps the first and goes on to the cap.",
            'A sentence that only announces ("Here are the facts:") is no query; the models of '
            "the paper write none.",
            "A chat model goes on with its own turn that holds the chain so far, and a reasoning "
            "model then thinks before its first sentence alone; on a server, which may not "
            "continue a turn, the user asks it to.",
            "As in the authors' code, paragraphs of more than 600 words are not collected (the "
            "trace names them) and none is shown beyond 350: cut long documents into passages.",
            "Near-duplicate texts are compared by words, not characters.",
            "The paper searches with BM25 alone; an encoder (-p retriever) is asked with the "
            "question words, too.",
            "The reader is the one that every method here has: its demonstrations show no "
            "paragraphs, and in completion prompts the paragraph collected first comes last. It "
            "answers at once, as the paper's Flan-T5; the paper's GPT-3 reasons anew (-p "
            "reader=cot).",
        ),
    )

    class Params(MethodParams, TermParams):
        """Parameters of IRCoT."""

        chain_shots: int = Field(
            2, ge=0, le=64, description="how many of the shots are shown with a chain of thought"
        )
        distractors: int = Field(
            1, ge=0, le=8, description="paragraphs in a demonstration that do not help"
        )
        demo_words: int = Field(
            30, ge=1, description="words shown of a demonstration's paragraph, whole sentences"
        )
        k: int = Field(4, ge=1, le=1000, description="paragraphs of each search")
        max_passages: int = Field(15, ge=1, description="paragraphs collected in all")
        max_steps: int = Field(10, ge=1, le=100, description="sentences of the chain")
        max_tokens: int = Field(64, ge=1, description="longest sentence, in tokens")
        reader: Literal["direct", "cot", "none"] = Field(
            "direct",
            description="how the answer is read from the collected paragraphs: a short answer, a "
            "fresh chain of thought, or the answer of the chain itself",
        )
        reader_tokens: int = Field(32, ge=1, description="longest short answer, in tokens")
        cot_tokens: int = Field(200, ge=1, description="longest chain of reader=cot, in tokens")
        retriever: str = Field("bm25", description=RETRIEVER)

    params: Params

    def remark(self, examples: Sequence[Example]) -> str:
        """Whether fewer chains are shown than asked for."""
        return stepless(examples, self.params.chain_shots)

    async def answer(self, query: Query) -> Prediction:
        """Retrieve and think in turn until the chain names an answer, then read."""
        shots = thought_demonstrations(
            self.prompts.examples,
            self.params.chain_shots,
            self.params.distractors,
            self.params.demo_words,
        )
        passages: list[Passage] = []
        thoughts: list[str] = []
        for _ in range(self.params.max_steps):
            wanted = next_query(query.text, thoughts)
            found = await self._retrieve(wanted)
            if too_long := collect(passages, found, self.params.max_passages):
                trace.note("too_long", ids=too_long, words=LONGEST)
            thought = await self._think(query, shots, passages, thoughts)
            trace.note("thought", sentence=thought, query=wanted)
            if not thought:
                break
            thoughts.append(thought)
            if parse_answer(thought) is not None:
                break
        return await self._read(query, shots, passages, thoughts)

    async def _retrieve(self, wanted: str) -> list[Passage]:
        if is_sparse(self.params.retriever):
            wanted = without_question_words(wanted)
        return await self.retriever.search(wanted, k=self.params.k)

    async def _think(
        self,
        query: Query,
        shots: tuple[Demonstration, ...],
        passages: Sequence[Passage],
        thoughts: Sequence[str],
    ) -> str:
        prompt = thought_prompt(query, shots, passages, thoughts)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, keep=True)
        return next_sentence(reply.text, thoughts)

    async def _read(
        self,
        query: Query,
        shots: tuple[Demonstration, ...],
        passages: Sequence[Passage],
        thoughts: Sequence[str],
    ) -> Prediction:
        if self.params.reader == "direct":
            prompt = self.prompts.read(query, shown(passages))
            reply = await self.llm.generate(
                prompt, max_tokens=self.params.reader_tokens, one_line=True
            )
            return Prediction(reply.first_line, tuple(passages))
        if self.params.reader == "cot":
            prompt = thought_prompt(query, shots, passages)
            reply = await self.llm.generate(prompt, max_tokens=self.params.cot_tokens)
            chain, fallback = reply.text.strip(), reply.text.strip()
        else:
            chain, fallback = " ".join(thoughts), thoughts[-1] if thoughts else ""
        answer = parse_answer(chain)
        if answer is None:
            trace.note("parse_failed", text=chain)
        return Prediction(fallback if answer is None else answer, tuple(passages), raw=chain)
