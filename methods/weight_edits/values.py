"""Values: what a layer is to hold at a subject's end, so that the model says a fact."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from methods.parametric_qa.write.sequences import pack, row_losses, target_logits
from methods.weight_edits.inside import Read, columns, seen, watched
from methods.weight_edits.params import SearchParams

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

_ENOUGH = 5e-2
"""Nats at which a search ends; the authors'."""
_NOTHING = 1e-12


def searched(
    llm: LocalModel, site: str, given: Sequence[Read], essence: Read | None, params: SearchParams
) -> tuple[Tensor, Tensor]:
    """What stands at the first sequence's subject now, and what is to be added: [width] each.

    ``site`` is the module whose output is changed, at the subjects' ends of all sequences alike.
    The change makes their targets likely, keeps what is said after ``essence``, and stays small.
    """
    there = seen(llm, site, given[:1], inputs=False)[0]
    change = torch.zeros_like(there).requires_grad_()
    search = _Search(llm, given, essence, params, there.norm())
    optimizer = torch.optim.Adam([change], params.learning_rate)
    add = partial(search.added, change)
    with torch.enable_grad(), watched(llm.model.get_submodule(site), add, inputs=False):
        for _ in range(params.steps):
            loss = search.loss(change)
            if float(loss.detach()) < _ENOUGH:
                break
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                change *= (params.most_change * search.size / change.norm()).clamp_max(1.0)
    return there, change.detach()


class _Search:
    """Sequences in one batch, what is essential to their subject at its end."""

    def __init__(
        self,
        llm: LocalModel,
        given: Sequence[Read],
        essence: Read | None,
        params: SearchParams,
        size: Tensor,
    ) -> None:
        every = [*given, *([essence] if essence is not None else [])]
        self.llm, self.params, self.size, self.asked = llm, params, size, len(given)
        self.packed = pack(llm.model, [each.row for each in every])
        self.places = columns(self.packed.mask, every)
        self.plain: Tensor | None = None
        """Log-probabilities after the essence, before anything changed."""

    def added(self, change: Tensor, output: Tensor) -> Tensor:
        """A module's output [rows, length, width] with the change at the subjects' ends."""
        rows = torch.arange(len(output), device=output.device)
        shifted = output.clone()
        shifted[rows, self.places] = output[rows, self.places] + change.to(output.dtype)
        return shifted

    def loss(self, change: Tensor) -> Tensor:
        """What the change is to make small; the first call is that of no change."""
        logits = target_logits(self.llm.model, self.packed)
        said = row_losses(logits[: self.asked], self.packed.targets[: self.asked]).mean()
        told = logits[self.asked :, -1].log_softmax(dim=-1)
        if self.plain is None:
            self.plain = told.detach()
        kept = (self.plain.exp() * (self.plain - told)).sum()
        # The norm of nothing has no slope.
        length = (change.square().sum() + _NOTHING).sqrt()
        return said + self.params.keep_essence * kept + self.params.decay * length / self.size**2
