"""No retrieval: the model answers from what its weights hold."""

from __future__ import annotations

from pydantic import Field

from harness.method import Method, MethodCard, MethodParams
from harness.records import Prediction, Query


class NoRetrieval(Method):
    """One call, no passages: the floor every memory must beat."""

    card = MethodCard(
        title="No retrieval",
        summary="The model answers from its own weights in one call.",
        source="RUC-NLPIR/FlashRAG, naive generation",
    )

    class Params(MethodParams):
        """Parameters of closed-book answering."""

        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    params: Params

    async def answer(self, query: Query) -> Prediction:
        """Ask the question, take the first line."""
        prompt = self.prompts.closed_book(query)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, one_line=True)
        return Prediction(answer=reply.first_line)
