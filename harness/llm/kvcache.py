"""Keys and values of many prompts in one place, read in small batches and written on together.

On a CPU long prompts are read fastest alone, and tokens are written fastest for many rows at once:
SmolLM2-135M after 1,000 tokens took 0.24 s for the next token of one row and 0.05 s each for eight.
Buffers have room for what will be written, since joining tensors at every step would copy them
all, and rows that are finished are taken out.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

if TYPE_CHECKING:
    from harness.llm.prefix import SharedPrefix


class Buffers:
    """One layer's keys and values, both [rows, heads, columns, size]; made when first written."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.keys = self.values = torch.empty(0)

    def write(self, rows: slice, column: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put keys and values [rows, heads, length, size] at ``column``."""
        if not self.keys.numel():
            # Zeros: what is masked still takes part in a product, and NaN times 0 is NaN.
            self.keys, self.values = (
                new.new_zeros(self.rows, new.shape[1], self.columns, new.shape[3])
                for new in (keys, values)
            )
        end = column + keys.shape[-2]
        self.keys[rows, :, column:end] = keys
        self.values[rows, :, column:end] = values

    def keep(self, rows: Sequence[int]) -> None:
        """Leave out all other rows."""
        index = torch.tensor(rows, device=self.keys.device)
        self.keys, self.values = self.keys[index], self.values[index]


class Window(DynamicLayer):  # type: ignore[misc]
    """Some rows of a layer's buffers, from column ``start`` to ``end``, as a layer of a cache."""

    def __init__(self, buffers: Buffers, rows: slice, start: int, end: int) -> None:
        super().__init__()
        self.buffers, self.rows, self.start, self.end = buffers, rows, start, end
        if end > start:
            self._show()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append, and give all keys and values of the window."""
        self.buffers.write(self.rows, self.end, key_states, value_states)
        self.end += key_states.shape[-2]
        return self._show()

    def _show(self) -> tuple[torch.Tensor, torch.Tensor]:
        self.keys = self.buffers.keys[self.rows, :, self.start : self.end]
        self.values = self.buffers.values[self.rows, :, self.start : self.end]
        self.dtype, self.device, self.is_initialized = self.keys.dtype, self.keys.device, True
        return self.keys, self.values


class KVCache:
    """All layers' buffers for ``rows`` prompts; each row ends at column ``width``."""

    def __init__(self, layers: int, rows: int, width: int, room: int) -> None:
        self.rows, self.width = rows, width
        self.layers = [Buffers(rows, width + room) for _ in range(layers)]

    def reading(self, rows: slice, length: int, prefix: SharedPrefix) -> DynamicCache:
        """A cache for some rows with ``length`` tokens to be read after the prefix."""
        start = self.width - length - prefix.length
        for buffers, head in zip(self.layers, _layers(prefix.cache), strict=False):
            buffers.write(rows, start, head.keys, head.values)
        return _cache(self.layers, rows, start, start + prefix.length)

    def writing(self) -> DynamicCache:
        """A cache for all rows, to be written on."""
        return _cache(self.layers, slice(0, self.rows), 0, self.width)


def keep_rows(cache: DynamicCache, rows: Sequence[int]) -> None:
    """Leave out all other rows of a cache that is written on."""
    for layer in cache.layers:
        layer.buffers.keep(rows)
        layer.rows = slice(0, len(rows))
        layer._show()


def plain_layers(config: Any) -> int:
    """Layers of a model that keeps keys and values and nothing else; 0 for any other model."""
    layers = DynamicCache(config=config).layers
    return len(layers) if all(type(layer) is DynamicLayer for layer in layers) else 0


def _cache(layers: Sequence[Buffers], rows: slice, start: int, end: int) -> DynamicCache:
    cache = DynamicCache()
    cache.layers = [Window(buffers, rows, start, end) for buffers in layers]
    return cache


def _layers(cache: Any) -> Sequence[Any]:
    return getattr(cache, "layers", ())


def parameters_of(model: Any) -> Iterable[str]:
    """What a model's forward pass is given."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return inspect.signature(type(base).forward).parameters


def cache_name(parameters: Iterable[str]) -> str:
    """What the model's forward calls keys and values; transformers 5 renamed them on the way."""
    return "cache" if "cache" in parameters else "past_key_values"
