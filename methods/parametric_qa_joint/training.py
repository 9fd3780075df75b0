"""Joint training: the codes of a pool and the model that reads them go down one loss together.

A document's code is a parameter of its own, so that a step moves the codes that it reads and no
other, as if each had its own optimizer; all of them share the model's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from methods.parametric_qa.write.sequences import Row
from methods.parametric_qa_joint.rows import MemoryRow
from methods.parametric_qa_joint.tuning import tuned
from methods.study.rows import batches
from methods.study.training import Group, checkpoint_place, descend, losses_by_reading

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from methods.parametric_qa.shared.bundle import Bundle
    from methods.parametric_qa.shared.parts import SharedParts
    from methods.parametric_qa_joint.params import JointParams


class TrainedCodes:
    """Codes of documents, each with a change in standard deviations of its numbers, 0 at first."""

    def __init__(self, parts: SharedParts, first: Tensor) -> None:
        self.parts, self.first = parts, first
        self.changes = [nn.Parameter(torch.zeros_like(code)) for code in first]

    def now(self, documents: Sequence[int]) -> Tensor:
        """Codes [documents, slots, z_dim], with gradients to their changes."""
        changes = torch.stack([self.changes[number] for number in documents])
        codes: Tensor = self.first[list(documents)] + changes * self.parts.code_std
        return codes

    def told(self, batch: Sequence[Row]) -> list[Row]:
        """``MemoryRow``s with the memories that their documents' codes now are."""
        memories = self.parts.memory(self.now([cast(MemoryRow, row).document for row in batch]))
        return [
            Row(row.parts, [memory], row.target)
            for row, memory in zip(batch, memories, strict=True)
        ]

    def group(self, learning_rate: float) -> Group:
        """What is trained of them."""
        named = {f"code {number}": change for number, change in enumerate(self.changes)}
        return Group(named, learning_rate)


def train_together(
    llm: LocalModel,
    bundle: Bundle,
    rows: tuple[Row, ...],
    first: Tensor,
    params: JointParams,
    seed: int,
    folder: Path,
    scratch: Path | None,
) -> tuple[Tensor, list[float]]:
    """Codes [documents, slots, z_dim] after ``params.steps``, and the loss of every step.

    ``rows`` are ``MemoryRow``s of the documents whose codes ``first`` are. What of the model was
    trained is saved to ``folder``. Losses are in nats a token, before the step's rounding into
    what is stored. An interrupted training goes on from ``scratch``. Raises RunFailedError for a
    loss that is not finite.
    """
    codes = TrainedCodes(bundle.parts, first)
    own = {**_own(params, first, rows), "shared": bundle.fingerprint()}
    place = None if scratch is None else checkpoint_place(scratch, "joint", rows, own, seed)
    drawn = batches(rows, params.batch, params.steps, seed)
    with tuned(llm, params, seed) as model:
        groups = [codes.group(params.learning_rate)]
        if model.weights:
            groups.append(Group(model.weights, params.highest_rate))

        def losses_of(batch: Sequence[Row]) -> Tensor:
            return losses_by_reading(model.model, codes.told(batch))

        losses = descend(llm, groups, losses_of, drawn, params.steps, place, "training together")
        model.save(folder)
    with torch.no_grad():
        return codes.now(range(len(first))), losses


def _own(params: JointParams, first: Tensor, rows: Sequence[Row]) -> dict[str, Any]:
    """What decides a training beside its rows' tokens, its seed and the shared parts."""
    return {
        **params.model_dump(include={"train", "steps", "learning_rate", "rank", "batch"}),
        "model_rate": params.highest_rate,
        "first": sha256(first.contiguous().numpy().tobytes()).hexdigest(),
        "documents": [cast(MemoryRow, row).document for row in rows],
    }
