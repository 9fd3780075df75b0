"""Edits of a local model's weights: other content in their place, afterwards exactly the old."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import CapabilityError, InputError, RunFailedError
from harness.llm.edit import Added, Edit, LowRank
from harness.llm.prefix import KeptPrompts
from harness.llm.runtime import Runtime
from harness.llm.weights import digest


@contextmanager
def edited(runtime: Runtime, edits: Mapping[str, Edit]) -> Iterator[Runtime]:
    """The runtime with edited weights; afterwards its model is what it was, which is checked.

    The old tensors are held and put back: subtracting what was added would round. Raises
    CapabilityError for rounded weights, InputError for an edit that does not fit.
    """
    if getattr(runtime.model, "hf_quantizer", None) is not None:
        raise CapabilityError(
            f"model '{runtime.name}': its weights are rounded and take no exact edit; take the "
            "model without quantization"
        )
    edit = _Edit(runtime.model, edits)
    # What was read with other weights means nothing.
    kept = None if runtime.kept is None else KeptPrompts(runtime.kept.most)
    try:
        edit.make()
        yield replace(runtime, kept=kept)
    finally:
        edit.undo()


class _Edit:
    """Weights and modules of a model with what is to stand in their place."""

    def __init__(self, model: nn.Module, edits: Mapping[str, Edit]) -> None:
        modules = {name: edit for name, edit in edits.items() if isinstance(edit, nn.Module)}
        self.modules = [(*_place(model, name), module) for name, module in modules.items()]
        self.weights = []
        for name, edit in edits.items():
            if not isinstance(edit, nn.Module):
                weight = _weight(model, name, modules)
                self.weights.append((weight, weight.data, _content(name, weight, edit)))
        self.before = [digest(old) for _, old, _ in self.weights]

    def make(self) -> None:
        for weight, _, new in self.weights:
            weight.data = new
        for parent, name, _, module in self.modules:
            setattr(parent, name, module.eval().requires_grad_(False))

    def undo(self) -> None:
        for parent, name, module, _ in self.modules:
            setattr(parent, name, module)
        for weight, old, _ in self.weights:
            weight.data = old
        if [digest(weight.data) for weight, _, _ in self.weights] != self.before:
            raise RunFailedError(
                "the model's weights are not what they were before they were edited: something "
                "wrote into them meanwhile; start again with a newly loaded model"
            )


def _place(model: nn.Module, name: str) -> tuple[nn.Module, str, nn.Module]:
    """The module above one of this name, its own name there, and the module itself."""
    parent, _, own = name.rpartition(".")
    try:
        above = model.get_submodule(parent)
        return above, own, above.get_submodule(own)
    except AttributeError:
        raise InputError(
            f"the model has no module '{name}' to replace; take a name of model.named_modules()"
        ) from None


def _weight(model: nn.Module, name: str, modules: Mapping[str, Any]) -> nn.Parameter:
    """The parameter of this name, which one layer alone uses."""
    everything = dict(model.named_parameters(remove_duplicate=False))
    if name not in everything:
        raise InputError(
            f"the model has no parameter '{name}' to edit; take a name of model.named_parameters()"
        )
    weight = everything[name]
    if shared := [other for other, w in everything.items() if w is weight and other != name]:
        raise InputError(
            f"the parameter '{name}' is '{shared[0]}' too, so an edit would change both; edit "
            "weights of one layer alone, or replace the module"
        )
    if inside := [module for module in modules if name.startswith(f"{module}.")]:
        raise InputError(
            f"the parameter '{name}' is of the module '{inside[0]}', which is replaced too; edit "
            "one of them"
        )
    return weight


def _content(name: str, weight: nn.Parameter, edit: Tensor | LowRank | Added) -> Tensor:
    """What is to stand in a weight's place: a new tensor of its shape, dtype and device."""
    given = _shape(edit)
    if given != weight.shape:
        raise InputError(
            f"an edit of '{name}' has the shape {list(given)}, the parameter {list(weight.shape)}"
        )
    if isinstance(edit, LowRank):
        left, right = (part.to(weight.device, torch.float32) for part in (edit.left, edit.right))
        new = (weight.data.float() + left @ right).to(weight.dtype)
    elif isinstance(edit, Added):
        change = edit.change.to(weight.device, torch.float32)
        new = (weight.data.float() + change).to(weight.dtype)
    else:
        new = edit.detach().to(weight.device, weight.dtype, copy=True)
    if not torch.isfinite(new).all():
        raise InputError(f"an edit of '{name}' holds numbers that are not finite")
    return new


def _shape(edit: Tensor | LowRank | Added) -> torch.Size:
    if isinstance(edit, LowRank):
        return edit.left.shape[:1] + edit.right.shape[1:]
    return edit.change.shape if isinstance(edit, Added) else edit.shape


def weights_digest(model: nn.Module) -> str:
    """A hash of every weight of a model and its name: what an exact undo leaves as it was."""
    found = hashlib.blake2b(digest_size=16)
    for name, weight in model.named_parameters():
        found.update(f"{name} {digest(weight.data)}\n".encode())
    return found.hexdigest()
