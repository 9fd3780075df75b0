"""Retrieve if wanted, answer with each passage apart, keep the answer with the best critique."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pydantic import Field

from harness import trace
from harness.method import Method, MethodParams
from harness.records import Passage, Prediction, Query
from harness.retrieval.languages import TermParams
from harness.retrieval.prebuilt import RETRIEVER
from methods.self_rag.scores import Candidate, Critique, Weights


@dataclass(frozen=True, slots=True)
class Wish:
    """The probability that the model wants passages, and whether it went on to ask for them."""

    probability: float
    said: bool = True


class Reflective(Method):
    """Self-RAG's inference for short answers; subclasses say how the model is asked."""

    class Params(MethodParams, TermParams):
        """Parameters of retrieval, its decision and the score."""

        k: int = Field(5, ge=1, le=1000, description="passages, each answered with apart")
        retriever: str = Field("all-minilm-l6-v2", description=RETRIEVER)
        mode: Literal["adaptive", "always", "never"] = Field(
            "adaptive", description="whether the model decides on retrieval"
        )
        threshold: float = Field(
            0.2, ge=0, le=1, description="adaptive: retrieve above this probability"
        )
        max_tokens: int = Field(100, ge=1, description="longest answer, in tokens")
        relevance_weight: float = Field(1.0, ge=0, description="weight of a passage's relevance")
        support_weight: float = Field(1.0, ge=0, description="weight of the passage's support")
        utility_weight: float = Field(0.5, ge=0, description="weight of the answer's utility")

    params: Params

    async def answer(self, query: Query) -> Prediction:
        """Decide, retrieve, answer with every passage at once, take the best answer."""
        passages: list[Passage] = []
        if await self._retrieves(query):
            passages = await self.retriever.search(query.text, k=self.params.k)
        if not passages:
            return replace(await self.unaided(query), support=())
        return await self.aided(query, passages)

    async def aided(self, query: Query, passages: list[Passage]) -> Prediction:
        """Of the answers with one passage each, the one with the best score."""
        candidates = await asyncio.gather(*(self.candidate(query, p) for p in passages))
        best = self.best(candidates)
        support = passages[candidates.index(best)].id
        return Prediction(best.answer, passages, support=(support,), raw=best.text)

    def best(self, candidates: Sequence[Candidate]) -> Candidate:
        """The candidate with the best score; of equals, the first."""
        return max(candidates, key=lambda candidate: candidate.score)

    @abstractmethod
    async def wish(self, query: Query) -> Wish:
        """What the model thinks of retrieving."""

    @abstractmethod
    async def unaided(self, query: Query) -> Prediction:
        """The answer without passages."""

    @abstractmethod
    async def candidate(self, query: Query, passage: Passage) -> Candidate:
        """The answer with one passage, and its score."""

    def scored(self, passage: Passage, critique: Critique) -> float:
        """The score of what was said with a passage; it is put on record."""
        weights = Weights(
            self.params.relevance_weight, self.params.support_weight, self.params.utility_weight
        )
        score = critique.score(weights)
        parts = {name: round(value, 6) for name, value in asdict(critique).items()}
        trace.note("critique", passage_id=passage.id, **parts, score=round(score, 6))
        return score

    async def _retrieves(self, query: Query) -> bool:
        if self.params.mode != "adaptive":
            return self.params.mode == "always"
        wish = await self.wish(query)
        decision = wish.said and wish.probability > self.params.threshold
        unsaid = {} if wish.said else {"said": False}
        trace.note(
            "retrieval decision",
            probability=round(wish.probability, 6),
            retrieve=decision,
            **unsaid,
        )
        return decision
