"""The three routes that all Adaptive-RAG methods share, and how one is followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from harness.method import Method, MethodParams
from harness.prompts import Example
from harness.records import Prediction, Query
from harness.retrieval.languages import TermParams
from harness.retrieval.prebuilt import RETRIEVER
from methods.bm25 import BM25
from methods.ircot.method import IRCoT
from methods.no_retrieval import NoRetrieval
from methods.standard_rag import RetrieveThenRead

PAPER = (
    "Jeong et al., Adaptive-RAG: Learning to Adapt Retrieval-Augmented Large Language Models "
    "through Question Complexity, NAACL 2024"
)
ROUTE_DEVIATIONS = (
    "Routes A, B and C are the methods no-retrieval, bm25 and ircot of this harness with their "
    "prompts and depths: B reads 5 passages (the paper: 15, and 6 for GPT), C searches 4 a step "
    "(the paper: 6, and 3 for GPT). What these three depart in, they say themselves.",
    "The paper's models are Flan-T5 XL and XXL and GPT-3.5; routes were not run with them here.",
)


class RouteParams(MethodParams, TermParams):
    """Parameters of the routes; the defaults are those of the methods they stand for."""

    k: int = Field(5, ge=1, le=1000, description="passages that route B reads")
    max_tokens: int = Field(32, ge=1, description="longest short answer, in tokens")
    hop_k: int = Field(4, ge=1, le=1000, description="paragraphs of each search of route C")
    max_passages: int = Field(15, ge=1, description="paragraphs that route C collects in all")
    max_steps: int = Field(10, ge=1, le=100, description="sentences of route C's chain")
    retriever: str = Field("bm25", description=RETRIEVER)


class Routed(Method):
    """Answers a question by one of three routes; subclasses choose which."""

    runs = (NoRetrieval, BM25, IRCoT)

    class Params(RouteParams):
        """Parameters of the routes."""

    params: RouteParams

    def strategy(self, label: str) -> Method:
        """The method behind a route, not yet lent anything."""
        params = self.params
        if label == "A":
            return NoRetrieval(NoRetrieval.Params(shots=params.shots, max_tokens=params.max_tokens))
        if label == "B":
            return RetrieveThenRead(
                RetrieveThenRead.Params(
                    shots=params.shots, k=params.k, max_tokens=params.max_tokens
                )
            )
        return IRCoT(
            IRCoT.Params(
                shots=params.shots,
                k=params.hop_k,
                max_passages=params.max_passages,
                max_steps=params.max_steps,
                reader_tokens=params.max_tokens,
                retriever=params.retriever,
            )
        )

    def remark(self, examples: Sequence[Example]) -> str:
        """What route C says of its demonstrations."""
        return self.strategy("C").remark(examples)

    async def follow(self, label: str, query: Query) -> Prediction:
        """Answer by one route."""
        strategy = self.strategy(label)
        strategy.open(replace(self.lent, gold={}))
        return await strategy.answer(query)
