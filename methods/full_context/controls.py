"""Control of full-context: as many tokens of another pool, so that only length is left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from harness.method import MethodCard
from methods.full_context.chosen import Chosen
from methods.full_context.method import FullContext
from methods.other_pool import DEFAULT_OTHER, OTHER, OtherPool, open_pool

if TYPE_CHECKING:
    from harness.data.corpus import Corpus


class FullContextOther(OtherPool, FullContext):
    """Reads passages that say nothing of the questions: must not beat no-retrieval."""

    card = MethodCard(
        title="Full context of another pool",
        summary="Reads as many tokens of another pool's passages before every question; a floor.",
        source="a control of full-context",
        deviations=(
            "The other pool's passages come in its own order, as many as take no more tokens than "
            "full-context's; where nobody counts tokens, as many passages.",
            "Another task's pool may hold an answer by chance.",
        ),
    )

    class Params(FullContext.Params):
        """Those of full-context, and what is read in place of the pool."""

        passages: str = Field(DEFAULT_OTHER, description=OTHER)

    params: Params

    def _choose(self, corpus: Corpus) -> Chosen:
        own, room = super()._choose(corpus), self._room()
        tokens = room.tokens(own)
        most = len(own.passages) if tokens is None else None
        room = room if tokens is None else replace(room, budget=tokens)
        other = room.choose(open_pool(self.params.passages), "corpus", self.seed, most)
        return replace(other, left_out=0)

    def _read_ids(self) -> list[str]:
        return []
