"""Values: what a layer is to hold at a subject's end, so that the model says a fact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.parametric_qa.write.sequences import pack, row_losses, target_logits
from methods.weight_edits.inside import Read, columns, watched
from methods.weight_edits.params import SearchParams

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

_ENOUGH = 5e-2
"""Nats at which a search ends; the authors'."""


def searched(
    llm: LocalModel, site: str, given: Sequence[Read], essence: Read | None, params: SearchParams
) -> tuple[Tensor, Tensor]:
    """What stands at the first sequence's subject now, and what is to be added: [width] each.

    ``site`` is the module whose output is changed, at the subjects' ends of all sequences alike.
    The change makes their targets likely, keeps what is said after ``essence``, and stays small.
    """
    every = [*given, *([essence] if essence is not None else [])]
    packed = pack(llm.model, [each.row for each in every])
    # Columns are counted from the ends, which a target is part of here.
    places = columns(packed.mask, every)
    rows, asked = torch.arange(len(every)), len(given)
    there: list[Tensor] = []
    change: Tensor | None = None

    def add(output: Tensor) -> Tensor:
        nonlocal change
        if change is None:
            there.append(output[0, places[0]].detach().float())
            change = torch.zeros_like(there[0]).requires_grad_()
        shifted = output.clone()
        shifted[rows, places] = output[rows, places] + change.to(output.dtype)
        return shifted

    plain: Tensor | None = None
    optimizer: torch.optim.Adam | None = None
    with torch.enable_grad(), watched(llm.model.get_submodule(site), add, inputs=False):
        for step in range(params.steps + 1):
            logits = target_logits(llm.model, packed)
            assert change is not None  # the hook made it
            told = logits[asked:, -1].log_softmax(dim=-1)
            plain = told.detach() if plain is None else plain
            size = there[0].norm()
            loss = row_losses(logits[:asked], packed.targets[:asked]).mean()
            loss = loss + params.decay * change.norm() / size**2
            if essence is not None:
                kept = F.kl_div(plain, told, log_target=True, reduction="batchmean")
                loss = loss + params.keep_essence * kept
            if float(loss.detach()) < _ENOUGH or step == params.steps:
                break
            optimizer = optimizer or torch.optim.Adam([change], params.learning_rate)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                change *= (params.most_change * size / change.norm()).clamp_max(1.0)
    return there[0], change.detach()
