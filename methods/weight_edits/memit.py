"""MEMIT: all facts are edited at once, what their values lack shared out over several layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from harness.llm.edit import LowRank
from harness.method import MethodCard
from methods.weight_edits.editor import (
    DEVIATIONS,
    EDITS,
    MOMENTS,
    Editor,
    parts_of,
    read,
)
from methods.weight_edits.facts import Fact

if TYPE_CHECKING:
    from torch import Tensor

    from harness.llm.local import LocalModel
    from methods.weight_edits.inside import Read

VALUES = "values.safetensors"


class MEMIT(Editor):
    """Edit several weights, all facts together; answer closed-book."""

    card = MethodCard(
        title="MEMIT",
        summary="What changed in documents is edited into several weights, all facts at once.",
        paper="Meng et al., Mass-Editing Memory in a Transformer, ICLR 2023",
        source="kmeng01/memit at b86d971, read for its behaviour",
        deviations=(
            *DEVIATIONS,
            "Facts that come later are edited together with all earlier ones, into the model's "
            "own weights; the authors edit once.",
            "The weight of what was known is relative to the number of a key's dimensions: 0.9 "
            "is the authors' 15,000 for GPT-J.",
        ),
    )

    # Every edit is solved for with all others.
    revises_together = True

    class Params(Editor.Params):
        """Which weights are edited, how, and how questions are asked."""

        depth: float = Field(
            0.35, ge=0, le=1, description="of the last layer that is edited, over all layers"
        )
        layers: int = Field(5, ge=1, le=1000, description="that are edited, up to the last one")
        keep_known: float = Field(
            0.9,
            gt=0,
            description="weight of what other keys are mapped to, over the dimensions of a key",
        )

    params: Params

    def _names(self, llm: LocalModel) -> list[str]:
        from methods.weight_edits.inside import down_projections

        names = down_projections(llm)
        last = self.params.last_of(len(names))
        return names[max(0, last + 1 - self.params.layers) : last + 1]

    def _edit(
        self,
        llm: LocalModel,
        folder: Path,
        earlier: Sequence[Fact],
        kept: Sequence[int],
        new: Sequence[Fact],
    ) -> None:
        import torch

        from methods.parametric_qa.shared.parts import save_tensors
        from methods.weight_edits.inside import essence, layer_of, sequences
        from methods.weight_edits.values import searched

        names, moments = self._names(llm), read(folder / MOMENTS)
        given = [sequences(llm, fact, self.prefixes) for fact in (*earlier, *new)]
        values = [read(folder / VALUES)["values"][list(kept)]] if kept else []
        for fact, own in zip(new, given[len(earlier) :], strict=True):
            kept_as = essence(llm, fact.cues[0].subject)
            there, change = searched(llm, layer_of(names[-1]), own, kept_as, self.params)
            values.append((there + change)[None].cpu())
        wanted = torch.cat(values)
        save_tensors(folder / VALUES, {"values": wanted})
        edits = spread(
            llm, {name: moments[name] for name in names}, given, wanted, self.params.keep_known
        )
        save_tensors(folder / EDITS, parts_of(edits))


def spread(
    llm: LocalModel,
    moments: Mapping[str, Tensor],
    given: Sequence[Sequence[Read]],
    wanted: Tensor,
    keep_known: float,
) -> dict[str, LowRank]:
    """Edits of the down projections in ``moments``, in their order, by name.

    After them the last one's layer gives ``wanted`` [facts, hidden] at the subjects' ends. Each
    layer takes an equal share of what is missing, as it sees the model after the layers before.
    ``given`` are the sequences of each fact, the plain one first.
    """
    import torch

    from methods.weight_edits.closed_form import conditioned, many
    from methods.weight_edits.inside import layer_of, seen

    names = list(moments)
    plain = [own[0] for own in given]
    edits: dict[str, LowRank] = {}
    for number, name in enumerate(names):
        with llm.edited({f"{done}.weight": edit for done, edit in edits.items()}):
            keys = torch.stack([seen(llm, name, own, inputs=True).mean(dim=0) for own in given])
            there = seen(llm, layer_of(names[-1]), plain, inputs=False)
        missing = (wanted - there.cpu()) / (len(names) - number)
        weight = keep_known * len(moments[name])
        edits[name] = many(conditioned(moments[name]), weight, keys.cpu(), missing)
    return edits
