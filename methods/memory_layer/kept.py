"""Kept: what a retrofit has come to, in a folder for exactly this one, so that a kill costs little.

What passed through the MLP is kept in parts as it is read; when the retrofit is made, that alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from methods.memory_layer.network import Keys
from methods.parametric_qa.shared.parts import save_tensors
from methods.parametric_qa.write.sequences import Row
from methods.study.passing import BATCH, states

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

KEPT_EVERY = 2 * BATCH
"""Rows; what a kill may cost. Whole batches, so that the same rows are read together as without."""
_MADE, _PART = "retrofit.safetensors", "background-{}.safetensors"


@dataclass(frozen=True, slots=True)
class Read:
    """What entered an MLP of one row, and what left it: float32 [length, hidden]."""

    entered: Tensor
    left: Tensor


@dataclass(frozen=True, slots=True)
class Retrofit:
    """What all corpora share of a memory layer.

    ``seen`` [slots] are the background's passages that find a slot, of ``passages``. ``linear`` is
    the map in the MLP's place, if it is replaced, and ``missed`` the share of the outputs' variance
    that it misses.
    """

    keys: Keys
    scale: float
    seen: Tensor
    passages: int
    linear: nn.Linear | None
    missed: float | None


def read(llm: LocalModel, name: str, rows: Sequence[Row], place: Path | None) -> Iterator[Read]:
    """What passes through an MLP of each row, the shortest first; from ``place`` what it has."""
    order = sorted(rows, key=lambda row: row.length)
    for first in range(0, len(order), KEPT_EVERY):
        file = None if place is None else place / _PART.format(first)
        found = _part(file, llm.device)
        if not found:
            part = order[first : first + KEPT_EVERY]
            found = [Read(one.entered, one.left) for one in states(llm, name, part)]
            if file is not None:
                save_tensors(file, _tensors(found))
        yield from found


def keep(place: Path, made: Retrofit) -> None:
    """Keep a retrofit in the place of all that it was made of."""
    keys = made.keys
    tensors = {"mean": keys.mean, "project": keys.project, "codes": keys.codes, "seen": made.seen}
    numbers = {"scale": made.scale, "passages": made.passages, "missed": made.missed}
    tensors |= {
        k: torch.tensor(v, dtype=torch.float64) for k, v in numbers.items() if v is not None
    }
    if made.linear is not None:
        tensors |= {"weight": made.linear.weight, "bias": made.linear.bias}
    save_tensors(place / _MADE, tensors)
    for part in place.glob(_PART.format("*")):
        part.unlink()


def kept(place: Path | None, k: int, device: torch.device) -> Retrofit | None:
    """The retrofit that was made, if it was."""
    from safetensors.torch import load_file

    if place is None or not (place / _MADE).exists():
        return None
    found = load_file(place / _MADE, device=str(device))
    return Retrofit(
        Keys(found["mean"], found["project"], found["codes"], k),
        float(found["scale"]),
        found["seen"],
        int(found["passages"]),
        linear_of(found["weight"], found["bias"]) if "weight" in found else None,
        float(found["missed"]) if "missed" in found else None,
    )


def linear_of(weight: Tensor, bias: Tensor) -> nn.Linear:
    """The affine map of a weight [outs, ins] and a bias [outs], which is not trained."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
    linear.weight.data, linear.bias.data = weight, bias
    return linear.requires_grad_(False)


def _part(file: Path | None, device: torch.device) -> list[Read]:
    from safetensors.torch import load_file

    if file is None or not file.exists():
        return []
    found = load_file(file, device=str(device))
    return [Read(found[f"entered {n}"], found[f"left {n}"]) for n in range(len(found) // 2)]


def _tensors(rows: Sequence[Read]) -> dict[str, Tensor]:
    entered = {f"entered {n}": one.entered for n, one in enumerate(rows)}
    return entered | {f"left {n}": one.left for n, one in enumerate(rows)}
