"""An adapter of an encoder's own, on the layers of a decoder beside whatever they have."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PLACES = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
"""Layers of a decoder's layer that an adapter changes."""


class LayerAdapter(nn.Module):
    """Low-rank changes of linear layers: A [layers, rank, in] and B [layers, rank, out] of each.

    ``places`` names the linear layers, within a decoder's layer.
    """

    places: Sequence[str] = PLACES

    def matrix(self, place: str, side: str) -> Tensor:
        """A or B of all layers [layers, rank, width]."""
        found: Tensor = getattr(self, f"{_key(place)}_{side}")
        return found

    @contextmanager
    def on(self, decoder: Any) -> Iterator[None]:
        """The decoder with this adapter beside whatever it has, for the calling thread."""
        own, hooks = threading.get_ident(), []
        try:
            for place in self.places:
                a, b = self.matrix(place, "a"), self.matrix(place, "b")
                for number, layer in enumerate(decoder.layers):
                    module = layer.get_submodule(place)
                    hooks.append(module.register_forward_hook(_added(a[number], b[number], own)))
            yield
        finally:
            for hook in hooks:
                hook.remove()


class RoundedAdapter(LayerAdapter):
    """Stored as whole numbers of 8 bits with a float16 scale for each of A's and B's vectors."""

    def __init__(self, shapes: Sequence[tuple[int, int]], layers: int, rank: int) -> None:
        super().__init__()
        for place, (inner, out) in zip(PLACES, shapes, strict=True):
            for side, width in (("a", inner), ("b", out)):
                key = f"{_key(place)}_{side}"
                self.register_buffer(key, torch.zeros(layers, rank, width, dtype=torch.int8))
                scales = torch.zeros(layers, rank, dtype=torch.float16)
                self.register_buffer(f"{key}_scales", scales)

    def matrix(self, place: str, side: str) -> Tensor:
        """A or B of all layers, float32 [layers, rank, width]."""
        key = f"{_key(place)}_{side}"
        numbers, scales = getattr(self, key), getattr(self, f"{key}_scales")
        found: Tensor = numbers.float() * scales.float()[..., None]
        return found


class TrainedAdapter(LayerAdapter):
    """Parameters: A drawn from a seed, B zero, so that it changes nothing before it is trained.

    Without a seed, A is zero, too: its numbers are in a file.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, int]], layers: int, rank: int, seed: int | None = 0
    ) -> None:
        super().__init__()
        source = None if seed is None else torch.Generator().manual_seed(seed)
        for place, (inner, out) in zip(PLACES, shapes, strict=True):
            a = torch.zeros(layers, rank, inner)
            if source is not None:
                a = (torch.rand(layers, rank, inner, generator=source) * 2 - 1) / inner**0.5
            self.register_parameter(f"{_key(place)}_a", nn.Parameter(a))
            self.register_parameter(
                f"{_key(place)}_b", nn.Parameter(torch.zeros(layers, rank, out))
            )


class GivenAdapter(LayerAdapter):
    """A LoRA of a checkpoint, in bfloat16; B is scaled by alpha / rank."""

    def __init__(self, shapes: dict[str, tuple[int, int]], layers: int, rank: int) -> None:
        super().__init__()
        self.places = tuple(shapes)
        for place, (inner, out) in shapes.items():
            for side, width in (("a", inner), ("b", out)):
                empty = torch.zeros(layers, rank, width, dtype=torch.bfloat16)
                self.register_buffer(f"{_key(place)}_{side}", empty)

    def fill(self, place: str, side: str, layer: int, values: Tensor) -> None:
        """Set A or B [rank, width] of one layer. Raises RuntimeError for another shape."""
        self.matrix(place, side)[layer].copy_(values)


def _key(place: str) -> str:
    return place.rpartition(".")[2].removesuffix("_proj")


def _added(a: Tensor, b: Tensor, thread: int) -> Any:
    def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if threading.get_ident() != thread:
            return output
        (x,) = inputs
        return output + F.linear(F.linear(x, a.to(x)), b.T.to(x))

    return hook
