"""Attention to a long beginning that all rows of a batch share, held once and not in every row.

The idea is Hydragen's (Juravsky et al., 2024, arXiv 2402.05099): attention over the shared part and
over each row's own part are two softmaxes, joined by their sums. Copied into every row, the keys
and values of 6,000 tokens are 276 MB a row for SmolLM2-135M; on a CPU two such rows filled a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch

from harness.llm.kvcache import cache_name, parameters_of
from harness.llm.prefix import NO_PREFIX, Layer, SharedPrefix

NAME = "shared-beginning"
"""What transformers knows this attention as."""
LEAST = 512
"""Positions from which a beginning is held apart; shorter ones cost less in their rows."""
_UNKNOWN = ("softcap", "s_aux", "sliding_window", "position_bias")
_PROBE, _ALIKE = 8, 0.1
"""Tokens of the beginning that is tried, and how far logits may lie apart, in their spread."""
_takes: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def apart(model: Any, prefixes: Sequence[SharedPrefix]) -> SharedPrefix:
    """The prefix of all rows, if it is one, long, and the model's attention can take it so."""
    prefix = prefixes[0]
    if prefix.length < LEAST or any(other is not prefix for other in prefixes):
        return NO_PREFIX
    return prefix if takes(model) else NO_PREFIX


def takes(model: Any) -> bool:
    """Whether a model answers with a beginning apart as with it in the row, tried once a model."""
    if model not in _takes:
        _takes[model] = _tried(model)
    return _takes[model]


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    beginning: Sequence[Layer] = (),
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention [rows, length, heads, size] of queries [rows, heads, length, size].

    ``key`` and ``value`` [rows, groups of heads, columns, size] are the rows' own, ``beginning``
    what stands before them all. Raises ValueError for a kind of attention that is not this one.
    """
    if not beginning or any(options.get(name) is not None for name in _UNKNOWN):
        raise ValueError("attention to a shared beginning has no caps, sinks or windows")
    rows, heads, length, size = query.shape
    groups = key.shape[1]
    shared = beginning[module.layer_idx]
    asked = query * (scaling or size**-0.5)
    # Heads of a group stand side by side, as repeating keys would have them.
    alike = asked.reshape(rows, groups, -1, size).transpose(0, 1).reshape(groups, -1, size)
    far, far_sum = _softmax(alike @ shared.keys[0].transpose(1, 2), shared.values[0])
    own = asked.reshape(rows, groups, -1, length, size) @ key.unsqueeze(2).transpose(-1, -2)
    if attention_mask is not None:
        own = own + attention_mask[:, :, None]
    near, near_sum = _softmax(own, value.unsqueeze(2))
    shape = rows, groups, heads // groups, length
    far_sum = far_sum.reshape(groups, rows, -1, length).transpose(0, 1)
    far = far.reshape(groups, rows, -1, length, size).transpose(0, 1)
    share = torch.sigmoid(far_sum - near_sum).reshape(*shape, 1).to(far.dtype)
    found = (share * far + (1 - share) * near).reshape(rows, heads, length, size)
    return found.transpose(1, 2).contiguous(), None


def _softmax(scores: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the scores take of the values, and the logarithm of the sum of their exponentials."""
    scores = scores.float()
    total = scores.logsumexp(dim=-1, keepdim=True)
    return (scores - total).exp().to(values.dtype) @ values, total[..., 0]


@contextmanager
def beginning_apart(model: Any) -> Iterator[None]:
    """The model with this attention."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _tried(model: Any) -> bool:
    from transformers import DynamicCache

    device = model.get_input_embeddings().weight.device
    ids = torch.arange(1, 2 * _PROBE + 1, device=device)[None]
    name, cache = cache_name(parameters_of(model)), DynamicCache(config=model.config)
    with torch.inference_mode():
        whole = model(ids, logits_to_keep=1).logits.float()
        model(ids[:, :_PROBE], use_cache=True, logits_to_keep=1, **{name: cache})
        layers = [Layer(layer.keys, layer.values) for layer in cache.layers]
        rest = {"input_ids": ids[:, _PROBE:], "position_ids": _places(device)}
        try:
            with beginning_apart(model):
                found = model(**rest, beginning=layers, logits_to_keep=1).logits.float()
        except (AttributeError, TypeError, ValueError):
            return False
    return bool((found - whole).abs().max() < _ALIKE * whole.std())


def _places(device: torch.device) -> torch.Tensor:
    return torch.arange(_PROBE, 2 * _PROBE, device=device)[None]
