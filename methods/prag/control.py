"""The control: the passages are found as usual, and the LoRAs of others are summed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.method import MethodCard
from harness.records import Passage, Query
from methods.others import others
from methods.prag.method import PRAG


class PRAGShuffled(PRAG):
    """Sums as many LoRAs of passages that were not found: what having any LoRA gives."""

    card = MethodCard(
        title="Parametric RAG, shuffled LoRAs",
        summary="Finds passages as prag does but sums the LoRAs of random others; a lower bound.",
        paper=PRAG.card.paper,
        source="a control of prag",
        version=3,
        deviations=(
            "Random passages are drawn from those that were not found: a gold one may be among "
            "them.",
        ),
    )

    writes_as = "prag"

    def _chosen(self, query: Query, found: Sequence[Passage]) -> list[Path]:
        used = {passage.id for passage in found}
        chosen = others(list(self._places), used, len(found), self.seed, query)
        return [self._lora(id_) for id_ in chosen]
