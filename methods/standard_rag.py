"""Standard RAG: retrieve once with a dense encoder, then read."""

from __future__ import annotations

from pydantic import Field

from harness.method import Method, MethodCard
from harness.prompts import QAPrompts
from harness.records import Passage, Prediction, Query
from harness.retrieval.prebuilt import RETRIEVER
from methods.flashrag_prompt import (
    FLASHRAG_SETTING,
    ReaderParams,
    flashrag_answer,
    flashrag_prompt,
)

READER = (
    "Train questions with their answers stand before the question (-p shots), without passages; "
    "FlashRAG's published table is zero-shot.",
    f'The instruction is "{QAPrompts().reading_instruction}"; FlashRAG asks for the answer alone, '
    "from the given documents.",
    'A passage is the line "Passage: TITLE: TEXT", FlashRAG\'s "Doc N(Title: TITLE) TEXT".',
    "In completion prompts the best passage comes last, next to the question; chat prompts have "
    "FlashRAG's order, best first.",
    "A prompt that does not fit the model's window loses passages from the end of the ranking, the "
    "best one at a sentence; FlashRAG cuts one of more than 2,048 tokens in the middle.",
    "The answer is the reply's first line; FlashRAG takes the whole reply.",
    FLASHRAG_SETTING,
)
"""Where the reader departs from FlashRAG's."""


class RetrieveThenRead(Method):
    """Retrieve the k best passages for the question, give them to the reader in rank order."""

    class Params(ReaderParams):
        """Parameters of retrieve-then-read."""

        k: int = Field(5, ge=1, le=1000, description="passages given to the reader")

    params: Params

    async def answer(self, query: Query) -> Prediction:
        """Retrieve once, then read."""
        passages = await self.find(query)
        if self.params.prompt == "flashrag":
            prompt = flashrag_prompt(query, passages)
            answer = await flashrag_answer(self.llm, prompt, self.params.max_tokens)
            return Prediction(answer=answer, ranked=passages)
        prompt = self.prompts.read(query, passages)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, one_line=True)
        return Prediction(answer=reply.first_line, ranked=passages)

    async def find(self, query: Query) -> list[Passage]:
        """The passages that are read, best first."""
        return await self.retriever.search(query.text, k=self.params.k)


class StandardRAG(RetrieveThenRead):
    """Dense retrieval, then read (Lewis et al., NeurIPS 2020; FlashRAG's standard setting)."""

    card = MethodCard(
        title="Standard RAG",
        summary="A dense encoder retrieves the k best passages once; the model reads them.",
        paper="Lewis et al., Retrieval-Augmented Generation, NeurIPS 2020",
        source="RUC-NLPIR/FlashRAG, SequentialPipeline",
        deviations=(
            "The default encoder is all-MiniLM-L6-v2, which needs no hub; FlashRAG's standard "
            "setting is e5-base-v2 (-p retriever=e5-base-v2).",
            *READER,
        ),
    )

    class Params(RetrieveThenRead.Params):
        """Parameters of standard RAG."""

        retriever: str = Field("all-minilm-l6-v2", description=RETRIEVER)
