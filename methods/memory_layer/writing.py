"""The study of a corpus by a memory layer: which slots it may change, and their training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor

from harness.errors import ConfigError
from harness.progress import bar
from methods.memory_layer.kept import Retrofit, linear_of
from methods.memory_layer.network import Keys, MemoryLayer
from methods.memory_layer.retrofit import accesses
from methods.parametric_qa.shared.parts import save_tensors
from methods.study.material import Material
from methods.study.params import StudyParams
from methods.study.passing import Keeper, Kept, from_block, states
from methods.study.training import checkpoint_place, train

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from methods.parametric_qa.write.sequences import Row

LAYER, VALUES = "layer.safetensors", "values.safetensors"


def slots_of(
    llm: LocalModel, name: str, made: Retrofit, materials: Sequence[Material], most: int
) -> tuple[Tensor, Kept]:
    """The slots that a corpus may change [changed]: each passage's best by TF-IDF, at most so many.

    A slot's frequency is how often the passage's rows find it, its rarity in how few passages of
    the background it is found (Lin et al., Continual Learning via Sparse Memory Finetuning, 2025).
    The rows' states are kept as far as there is room. Raises ConfigError if none may be changed.
    """
    rarity = ((made.passages + 1) / (made.seen + 1)).log()
    chosen = torch.zeros(made.keys.slots, dtype=torch.bool, device=rarity.device)
    keeper = Keeper()
    with bar(Console(stderr=True), "slots of passages", len(materials)) as shown:
        for material in materials:
            counts = torch.zeros_like(rarity)
            for passed in states(llm, name, material.rows):
                counts += accesses(made.keys, passed.entered)
                keeper.keep(passed.row, passed.block)
            worth, slots = (counts / counts.sum() * rarity).sort(descending=True, stable=True)
            chosen[slots[:most][worth[:most] > 0]] = True
            shown.advance()
    if not chosen.any():
        raise ConfigError(
            "every slot that the passages find is found by all passages of the background; raise "
            "background_tokens or half_keys"
        )
    return chosen.nonzero()[:, 0].int(), keeper.kept


def study(
    llm: LocalModel,
    name: str,
    layer: MemoryLayer,
    rows: tuple[Row, ...],
    kept: Kept,
    params: StudyParams,
    own: Mapping[str, Any],
    seed: int,
    scratch: Path | None,
) -> list[float]:
    """Train the layer's values on rows, nothing else; the loss of every step, in nats a token.

    ``kept`` are states of the rows. ``own`` is all that decides what the layer was before. An
    interrupted training goes on.
    """
    place = None if scratch is None else checkpoint_place(scratch, "layer", rows, own, seed)
    above = from_block(llm, name, kept, rows, params.precision)
    with llm.edited({name: layer}), above as losses_of:
        layer.values.requires_grad_(True)
        return train(llm, llm.model, rows, params, seed, place, losses_of=losses_of)


def new_layer(llm: LocalModel, name: str, made: Retrofit, changed: Tensor) -> MemoryLayer:
    """The layer before anything was studied: its values are zero."""
    values = torch.zeros(len(changed), len(made.keys.mean), device=changed.device)
    return layer_of(llm, name, made.keys, made.linear, made.scale, changed, values)


def save(folder: Path, made: Retrofit, layer: MemoryLayer) -> None:
    """Write what all corpora share, and what this one changed (in float16)."""
    keys = made.keys
    shared = {"mean": keys.mean, "project": keys.project, "codes": keys.codes}
    if made.linear is not None:
        shared |= {"weight": made.linear.weight, "bias": made.linear.bias}
    save_tensors(folder / LAYER, shared)
    save_tensors(folder / VALUES, {"changed": layer.changed, "values": layer.values.half()})


def opened(llm: LocalModel, name: str, folder: Path, k: int, scale: float) -> MemoryLayer:
    """The layer of a memory, for this model."""
    from safetensors.torch import load_file

    shared, own = (load_file(folder / file, device=str(llm.device)) for file in (LAYER, VALUES))
    keys = Keys(shared["mean"], shared["project"], shared["codes"], k)
    linear = None
    if "weight" in shared:
        linear = linear_of(shared["weight"], shared["bias"])
    return layer_of(llm, name, keys, linear, scale, own["changed"], own["values"])


def layer_of(
    llm: LocalModel,
    name: str,
    keys: Keys,
    linear: torch.nn.Linear | None,
    scale: float,
    changed: Tensor,
    values: Tensor,
) -> MemoryLayer:
    """A layer over the model's own MLP or over the map in its place."""
    base = llm.model.get_submodule(name) if linear is None else linear.to(llm.model.dtype)
    return MemoryLayer(keys, base, scale, changed, values).to(llm.device)
