"""ROME: one fact after the other is edited, each by a change of rank one of a single weight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.method import MethodCard
from methods.weight_edits.editor import (
    DEVIATIONS,
    EDITS,
    MOMENTS,
    Editor,
    edits_in,
    parts_of,
    read,
)
from methods.weight_edits.facts import Fact

if TYPE_CHECKING:
    from harness.llm.local import LocalModel


class ROME(Editor):
    """Edit one weight, fact by fact; answer closed-book."""

    card = MethodCard(
        title="ROME",
        summary="What changed in a document is edited into one weight, one fact after the other.",
        paper="Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022",
        source="kmeng01/rome at 0c06752, read for its behaviour",
        deviations=DEVIATIONS,
    )

    def _names(self, llm: LocalModel) -> list[str]:
        from methods.weight_edits.inside import down_projections

        names = down_projections(llm)
        return [names[self.params.last_of(len(names))]]

    def _edit(
        self,
        llm: LocalModel,
        folder: Path,
        earlier: Sequence[Fact],
        kept: Sequence[int],
        new: Sequence[Fact],
    ) -> None:
        from methods.parametric_qa.shared.parts import save_tensors
        from methods.weight_edits.closed_form import conditioned, joined, rank_one
        from methods.weight_edits.inside import essence, seen, sequences
        from methods.weight_edits.values import searched

        ((name, moment),) = read(folder / MOMENTS).items()
        moment, edits = conditioned(moment), list(edits_in(folder).values())
        for fact in new:
            given = sequences(llm, fact, self.prefixes)
            # As the model is after the facts before.
            with llm.edited({f"{name}.weight": joined(*edits)} if edits else {}):
                kept_as = essence(llm, fact.cues[0].subject)
                _, wanted = searched(llm, name, given, kept_as, self.params)
                key = seen(llm, name, given, inputs=True).mean(dim=0)
            edits.append(rank_one(moment, key.cpu(), wanted.cpu()))
        save_tensors(folder / EDITS, parts_of({name: joined(*edits)}))
