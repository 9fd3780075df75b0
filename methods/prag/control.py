"""The control: the passages are found as usual, and the LoRAs of others are summed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from harness.method import MethodCard
from harness.records import Passage, Query
from methods.prag.method import PRAG


class PRAGShuffled(PRAG):
    """Sums as many LoRAs of passages that were not found: what having any LoRA gives."""

    card = MethodCard(
        title="Parametric RAG, shuffled LoRAs",
        summary="Finds passages as prag does but sums the LoRAs of random others; a lower bound.",
        paper=PRAG.card.paper,
        source="a control of prag",
        deviations=(
            "Random passages are drawn from those that were not found: a gold one may be among "
            "them.",
        ),
    )

    def _chosen(self, query: Query, found: Sequence[Passage]) -> list[Path]:
        used = {passage.id for passage in found}
        others = [id_ for id_ in self._places if id_ not in used] or list(self._places)
        source = random.Random(f"{self.seed} shuffled {query.id}")  # noqa: S311
        return [self._lora(id_) for id_ in source.sample(others, min(len(found), len(others)))]
