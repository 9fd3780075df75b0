"""Start here: say in one sentence what it does, and which paper it follows."""

from __future__ import annotations

from harness import Method, MethodCard, MethodParams, Prediction, Query
from pydantic import Field


class StartHere(Method):
    """Search once and read what was found."""

    # Boards show it. Raise `version` whenever answers may change, so that runs made before and
    # after never share a row.
    card = MethodCard(title="Start here", summary="Searches once and reads what was found.")

    class Params(MethodParams):
        """Set with -p NAME=VALUE; they are part of a run's identity."""

        k: int = Field(5, ge=1, description="passages that are read")
        # The harness opens it over the task's corpus. A method that searches nothing has none.
        retriever: str = Field("bm25", description="'bm25' or an encoder of the catalogue")

    params: Params

    async def answer(self, query: Query) -> Prediction:
        """Answer one question; many run at once, and what they await is batched."""
        passages = await self.retriever.search(query.text, k=self.params.k)
        # Its prompt has the demonstrations that all methods share, and is cut to the window.
        reply = await self.llm.generate(self.prompts.read(query, passages), max_tokens=32)
        # Recall@K is of `ranked`, best first.
        return Prediction(answer=reply.first_line, ranked=passages)


METHODS = {"start-here": StartHere}
