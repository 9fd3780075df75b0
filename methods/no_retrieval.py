"""No retrieval: the model answers from what its weights hold."""

from __future__ import annotations

from harness.method import Method, MethodCard
from harness.prompts import QAPrompts
from harness.records import Prediction, Query
from methods.flashrag_prompt import (
    FLASHRAG_SETTING,
    ReaderParams,
    flashrag_answer,
    flashrag_prompt,
)


class NoRetrieval(Method):
    """One call, no passages: the floor every memory must beat."""

    card = MethodCard(
        title="No retrieval",
        summary="The model answers from its own weights in one call.",
        source="RUC-NLPIR/FlashRAG, naive generation",
        deviations=(
            "Train questions with their answers stand before the question (-p shots); FlashRAG's "
            "published table is zero-shot.",
            f'The instruction is "{QAPrompts().closed_book_instruction}"; FlashRAG asks for the '
            "answer alone, from the model's own knowledge.",
            "The answer is the reply's first line; FlashRAG takes the whole reply.",
            FLASHRAG_SETTING,
        ),
    )

    class Params(ReaderParams):
        """Parameters of closed-book answering."""

    params: Params

    async def answer(self, query: Query) -> Prediction:
        """Ask the question, take the first line."""
        if self.params.prompt == "flashrag":
            prompt = flashrag_prompt(query)
            answer = await flashrag_answer(self.llm, prompt, self.params.max_tokens)
            return Prediction(answer=answer)
        prompt = self.prompts.closed_book(query)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, one_line=True)
        return Prediction(answer=reply.first_line)
