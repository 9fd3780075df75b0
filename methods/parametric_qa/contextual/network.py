"""The network of a contextual training: a Llama whose layers stand in one tensor a kind.

Stacked so, two adapters are put on all layers by seven products a step, and every pass is then
that of a plain model: weights W + R for the reader, W + R + E for the encoder. Rows are padded on
the right, where a causal model does not see it, so that no mask is needed and attention is fused.
Its outputs are those of transformers' model (a test compares them).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KINDS = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
ALPHA = 2.0
"""What an adapter's product is multiplied by: alpha over rank, as peft calls it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Numbers of a Llama's configuration that its layers need."""

    heads: int
    groups: int
    width: int
    eps: float
    theta: float

    @classmethod
    def read(cls, folder: Path) -> Self:
        """From a model's ``config.json``. Raises ValueError for another architecture."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 1e4)}
        if config["model_type"] != "llama" or rope.get("rope_type", "default") != "default":
            raise ValueError(f"{folder}: not a plain Llama")
        heads = config["num_attention_heads"]
        width = config.get("head_dim") or config["hidden_size"] // heads
        groups = config["num_key_value_heads"]
        return cls(heads, groups, width, config["rms_norm_eps"], rope["rope_theta"])


class Frozen(nn.Module):
    """The model's own weights, float32: each of ``KINDS`` [layers, out, in], norms, embeddings."""

    first_norm: Tensor
    second_norm: Tensor
    norm: Tensor
    embed: Tensor
    head: Tensor

    def __init__(self, layout: Layout, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.layout = layout
        layers = 1 + max(int(name.split(".")[2]) for name in tensors if ".layers." in name)

        def stacked(name: str) -> Tensor:
            found = [tensors[f"model.layers.{n}.{name}.weight"] for n in range(layers)]
            return torch.stack(found).float()

        for kind, name in KINDS.items():
            self.register_buffer(kind, stacked(name))
        self.register_buffer("first_norm", stacked("input_layernorm"))
        self.register_buffer("second_norm", stacked("post_attention_layernorm"))
        embed = tensors["model.embed_tokens.weight"].float()
        self.register_buffer("embed", embed)
        self.register_buffer("norm", tensors["model.norm.weight"].float())
        self.register_buffer("head", tensors.get("lm_head.weight", embed).float())

    @classmethod
    def read(cls, folder: Path) -> Self:
        """From a folder of ``model.safetensors`` and ``config.json``."""
        from safetensors.torch import load_file

        return cls(Layout.read(folder), load_file(folder / "model.safetensors"))


class Adapter(nn.Module):
    """Low-rank changes of all layers: for each kind A [layers, rank, in], B [layers, out, rank]."""

    def __init__(self, frozen: Frozen, rank: int, seed: int) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        for kind in KINDS:
            layers, out, inner = getattr(frozen, kind).shape
            a = (torch.rand(layers, rank, inner, generator=source) * 2 - 1) / inner**0.5
            self.register_parameter(f"{kind}_a", nn.Parameter(a))
            self.register_parameter(f"{kind}_b", nn.Parameter(torch.zeros(layers, out, rank)))

    def delta(self, kind: str) -> Tensor:
        """What is added to a kind's weights [layers, out, in]."""
        a, b = getattr(self, f"{kind}_a"), getattr(self, f"{kind}_b")
        found: Tensor = ALPHA * torch.bmm(b, a)
        return found


@dataclass(frozen=True, slots=True)
class Weights:
    """What one pass needs of a layer, by layer: query-key-value, output, gate-up, down, norms."""

    layers: list[tuple[Tensor, ...]]
    norm: Tensor


def merged(frozen: Frozen, adapters: tuple[Adapter, ...], dtype: torch.dtype) -> Weights:
    """The model's weights with adapters on them; gradients reach the adapters."""

    def kind(name: str) -> Tensor:
        total: Tensor = getattr(frozen, name)
        for adapter in adapters:
            total = total + adapter.delta(name)
        return total.to(dtype)

    attention = torch.cat([kind("q"), kind("k"), kind("v")], dim=1)
    inner = torch.cat([kind("gate"), kind("up")], dim=1)
    first, second = frozen.first_norm.to(dtype), frozen.second_norm.to(dtype)
    stacks = (attention, kind("o"), inner, kind("down"), first, second)
    layers = list(zip(*(stack.unbind(0) for stack in stacks), strict=True))
    return Weights(layers, frozen.norm.to(dtype))


def block(
    x: Tensor,
    attention: Tensor,
    output: Tensor,
    inner: Tensor,
    down: Tensor,
    first: Tensor,
    second: Tensor,
    cos: Tensor,
    sin: Tensor,
    shape: tuple[int, int, int, float],
) -> Tensor:
    """One layer over [rows, length, hidden]; ``shape`` are heads, groups, width and eps."""
    heads, groups, width, eps = shape
    rows, length, hidden = x.shape
    mixed = F.linear(F.rms_norm(x, (hidden,), first, eps), attention)
    mixed = mixed.view(rows, length, heads + 2 * groups, width).transpose(1, 2)
    turned, v = mixed[:, : heads + groups], mixed[:, heads + groups :]
    one, other = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat([-other, one], dim=-1) * sin
    q, k = turned[:, :heads], turned[:, heads:]
    times = heads // groups
    k, v = k.repeat_interleave(times, dim=1), v.repeat_interleave(times, dim=1)
    read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + F.linear(read.transpose(1, 2).reshape(rows, length, heads * width), output)
    gate, up = F.linear(F.rms_norm(x, (hidden,), second, eps), inner).chunk(2, dim=-1)
    return x + F.linear(F.silu(gate) * up, down)


class Runner:
    """Passes of a model; ``block`` may be a compiled one. ``tokens`` counts positions read."""

    def __init__(self, frozen: Frozen, run: Callable[..., Tensor] = block) -> None:
        self.layout, self.run = frozen.layout, run
        self.tokens = 0
        self._turns: dict[tuple[int, torch.dtype], tuple[Tensor, Tensor]] = {}

    def __call__(self, weights: Weights, x: Tensor) -> Tensor:
        """Last hidden states, after the norm, of input vectors [rows, length, hidden]."""
        layout = self.layout
        cos, sin = self._turn(x)
        self.tokens += x.shape[0] * x.shape[1]
        shape = (layout.heads, layout.groups, layout.width, layout.eps)
        # What is compiled is compiled for gradients.
        run: Callable[..., Tensor] = self.run if torch.is_grad_enabled() else block
        for layer in weights.layers:
            x = run(x, *layer, cos, sin, shape)
        return F.rms_norm(x, (x.shape[-1],), weights.norm, layout.eps)

    def _turn(self, x: Tensor) -> tuple[Tensor, Tensor]:
        key = (x.shape[1], x.dtype)
        if key not in self._turns:
            width = self.layout.width
            exponents = torch.arange(0, width, 2, device=x.device).float() / width
            angles = torch.arange(x.shape[1], device=x.device).float()[:, None]
            angles = angles * self.layout.theta**-exponents
            angles = torch.cat([angles, angles], dim=-1)
            self._turns[key] = (angles.cos().to(x.dtype), angles.sin().to(x.dtype))
        return self._turns[key]


def compiled(run: Callable[..., Tensor] = block) -> Any:
    """The layer as one compiled function; from the second length on for all lengths."""
    return torch.compile(run)
