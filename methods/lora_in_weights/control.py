"""The control: a LoRA of the same size, trained alike, on passages that say something else."""

from __future__ import annotations

from harness.method import MethodCard
from harness.records import Passage
from methods.lora_in_weights.method import LoraInWeights


class LoraInWeightsOther(LoraInWeights):
    """Studies the corpus with its facts permuted: what training alone gives, without the facts."""

    card = MethodCard(
        title="LoRA in weights, of another corpus",
        summary="As lora-in-weights, trained on the passages with names, dates and numbers "
        "permuted among them; a lower bound.",
        paper=LoraInWeights.card.paper,
        source="a control of lora-in-weights",
        version=3,
        deviations=(
            "The other corpus is this one with its names, dates and numbers (found by rule) and "
            "its titles turned about, so that it is as long, as well written and on the same "
            "subjects, and says what is not so; a name that the rules miss stays where it was.",
        ),
    )

    def _studied(self, passages: list[Passage]) -> list[Passage]:
        from methods.study.questions import permuted

        return permuted(passages, self.seed)
