"""Gradients through modules that stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def without_dropout(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode, whatever the modules are trained for at the moment."""
    inner = [module for outer in modules for module in outer.modules()]
    before = [module.training for module in inner]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, training in zip(inner, before, strict=True):
            module.training = training


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Each layer keeps its input alone and is computed again for the gradient.

    Not by ``gradient_checkpointing_enable``: that works only in training mode, with dropout.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [part for part in model.modules() if isinstance(part, GradientCheckpointingLayer)]
    before = [layer.__dict__.get("forward") for layer in layers]
    for layer in layers:
        layer.__dict__["forward"] = partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del layer.__dict__["forward"]
            if forward is not None:
                layer.__dict__["forward"] = forward
