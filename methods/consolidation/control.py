"""The control: consolidated documents are asked of a model that never studied them."""

from __future__ import annotations

from pathlib import Path

from harness.method import MethodCard
from methods.consolidation.method import ParametricQAConsolidated


class ParametricQAUnstudied(ParametricQAConsolidated):
    """Answers what is consolidated without memory and without the LoRA: what was known before."""

    card = MethodCard(
        title="Parametric QA, consolidated but not studied",
        summary="Asks of consolidated documents closed-book, without the LoRA that studied them; a "
        "lower bound.",
        paper=ParametricQAConsolidated.card.paper,
        source="a control of parametric-qa-consolidated",
        deviations=("The LoRA is never in force, whatever -p in_force says.",),
    )
    writes_as = "parametric-qa-consolidated"
    variant_param = None

    @property
    def _studied(self) -> Path | None:
        return None
