"""Adaptive-RAG routed by the language model itself."""

from __future__ import annotations

from pydantic import Field

from harness import trace
from harness.method import MethodCard
from harness.records import Prediction, Query
from methods.adaptive_rag.labels import LABELS
from methods.adaptive_rag.prompts import FALLBACK, likeliest, parse_route, route_prompt
from methods.adaptive_rag.routes import PAPER, ROUTE_DEVIATIONS, Routed, RouteParams


class AdaptiveRAGLLMRouter(Routed):
    """The model that answers also chooses the route, by one letter, few-shot."""

    card = MethodCard(
        title="Adaptive-RAG (LLM router)",
        summary="The language model itself chooses between no, one and several retrievals.",
        paper=PAPER,
        source="starsuzi/Adaptive-RAG, routes only",
        deviations=(
            "No router is trained: the language model picks A, B or C after a description of "
            "each, an example of each, and train questions with their hop type.",
            "The route is the likeliest letter of the three; where the model gives no "
            "probabilities, the letter in its reply.",
            "A reply that names no route leads to B, and so do equal probabilities, unless B is "
            "the least likely.",
            *ROUTE_DEVIATIONS,
        ),
    )

    class Params(RouteParams):
        """Parameters of the routes and of the choice."""

        route_tokens: int = Field(
            8, ge=1, description="longest reply that names a route, without logprobs"
        )

    params: Params

    async def answer(self, query: Query) -> Prediction:
        """Ask for the route, then follow it."""
        return await self.follow(await self._choose(query), query)

    async def _choose(self, query: Query) -> str:
        prompt = route_prompt(query, self.prompts.examples)
        if "next-token-probs" in self.llm.model.capabilities:
            found = await self.llm.choose(prompt, LABELS)
            label = likeliest(found)
            probabilities = {key: round(p, 4) for key, p in found.items()}
            trace.note("route", label=label, probabilities=probabilities)
        else:
            reply = await self.llm.generate(prompt, max_tokens=self.params.route_tokens)
            named = parse_route(reply.text)
            label = named or FALLBACK
            trace.note("route", label=label, parsed=named is not None)
        return label
