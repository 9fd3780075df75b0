"""The control: a memory layer alike, trained on passages that say something else."""

from __future__ import annotations

from harness.method import MethodCard
from harness.records import Passage
from methods.memory_layer.method import MemoryLayerMethod


class MemoryLayerOther(MemoryLayerMethod):
    """Studies the corpus with its facts permuted: what training alone gives, without the facts."""

    card = MethodCard(
        title="Memory layer, of another corpus",
        summary="As memory-layer, trained on the passages with names, dates and numbers permuted "
        "among them; a lower bound.",
        paper=MemoryLayerMethod.card.paper,
        source="a control of memory-layer",
        version=2,
        deviations=(
            "The other corpus is this one with its names, dates and numbers (found by rule) and "
            "its titles turned about; a name that the rules miss stays where it was.",
        ),
    )

    def _studied(self, passages: list[Passage]) -> list[Passage]:
        from methods.study.questions import permuted

        return permuted(passages, self.seed)
