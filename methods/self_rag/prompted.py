"""Self-RAG's decisions asked of a model that was never trained for them."""

from __future__ import annotations

import asyncio

from pydantic import Field

from harness.method import MethodCard
from harness.records import Passage, Prediction, Query
from methods.self_rag import prompted_prompts as ask
from methods.self_rag.reflection import Reflective, Wish
from methods.self_rag.scores import Candidate, Critique, support_score, utility_score


class SelfRAGPrompted(Reflective):
    """Retrieval, relevance, support and utility as next-word probabilities of any model."""

    card = MethodCard(
        title="Self-RAG, prompted",
        summary=(
            "Not Self-RAG: any model is asked in words whether to retrieve and how good each "
            "passage's answer is, in 1 + 4k calls."
        ),
        paper="Asai et al., Self-RAG, ICLR 2024, arXiv:2310.11511 (the score only)",
        source="the scores of AkariAsai/self-rag, run_short_form.py; prompts of this harness",
        deviations=(
            "This is not Self-RAG: the model was not fine-tuned and has no reflection tokens; its "
            "decisions are read from the probabilities of the words Yes, Partly, No and of Bad, "
            "Poor, Fair, Good, Perfect as the next word.",
            "The answer with a passage, or without any, comes from the prompts of every other "
            "method here with their demonstrations, 32 tokens long at most instead of 100.",
            "The judgements are only as good as the model: the default one (135M) tells gold "
            "passages from others hardly better than a coin (see prompted_prompts.py).",
            "Relevance, support and utility take a call each; a trained model emits them while it "
            "answers.",
            "Yes, Partly and No stand for full, partial and no support, the five words for "
            "Self-RAG's utilities 1 to 5; the threshold of 0.2 is held against the share of Yes, "
            "which says nothing of how often a model that was not trained for it retrieves.",
            "The score is the weighted critique alone: the text's own probability, which Self-RAG "
            "adds, is left out.",
            "There is no long form and no sum over equal answers.",
            "The passage of the chosen answer is named as its support, where a task scores that.",
            "k is 5, as in the checklist of this harness; Self-RAG's open questions have 10.",
            "The default encoder is all-MiniLM-L6-v2, which needs no hub; the paper's is "
            "contriever-msmarco (-p retriever=contriever-msmarco).",
        ),
    )
    needs = frozenset({"next-token-probs"})

    class Params(Reflective.Params):
        """Parameters of prompted reflection."""

        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    params: Params

    async def wish(self, query: Query) -> Wish:
        """The share of Yes."""
        return Wish((await self.llm.choose(ask.retrieval(query), ask.YES_NO))["Yes"])

    async def unaided(self, query: Query) -> Prediction:
        """The closed-book answer."""
        prompt = self.prompts.closed_book(query)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, one_line=True)
        return Prediction(reply.first_line)

    async def candidate(self, query: Query, passage: Passage) -> Candidate:
        """Judge the passage and read it; then judge what was read."""
        reading = self.prompts.read(query, [passage])
        relevant, reply = await asyncio.gather(
            self.llm.choose(ask.relevance(query, passage), ask.YES_NO),
            self.llm.generate(reading, max_tokens=self.params.max_tokens, one_line=True),
        )
        supported, useful = await asyncio.gather(
            self.llm.choose(ask.support(query, passage, reply.first_line), ask.SUPPORT),
            self.llm.choose(ask.utility(query, reply.first_line), ask.UTILITY),
        )
        critique = Critique(
            relevance=relevant["Yes"],
            support=support_score(*(supported[word] for word in ask.SUPPORT)),
            utility=utility_score([useful[word] for word in ask.UTILITY]),
        )
        return Candidate(reply.text, reply.first_line, self.scored(passage, critique))
