"""Device memory: how much may go through a model at once, by what is free on its device.

An estimate, and a generous one: what does not fit all the same goes in halves (``halving``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SHARE = 0.4
"""Of the free memory, for what grows with the tokens; as much for what grows with their pairs."""
HIDDEN_COPIES, INNER_COPIES, SCORE_COPIES = 6, 3, 5
"""Of one layer: hidden states, inner states of its MLP, and attention scores where no kernel spares
them (before and after the mask, in and after the softmax, one to spare)."""
NO_LIMIT = 2**62


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the memory of a batch: sizes of a model, and bytes of one of its numbers."""

    layers: int
    heads: int
    key_heads: int
    head_size: int
    hidden: int
    inner: int
    number: int

    @classmethod
    def of(cls, model: Any) -> Shape | None:
        """The shape of a transformers model; None if its config does not tell it."""
        config = model.config.get_text_config()
        try:
            heads, hidden = int(config.num_attention_heads), int(config.hidden_size)
            return cls(
                layers=int(config.num_hidden_layers),
                heads=heads,
                key_heads=int(getattr(config, "num_key_value_heads", None) or heads),
                head_size=int(getattr(config, "head_dim", None) or hidden // heads),
                hidden=hidden,
                inner=int(getattr(config, "intermediate_size", None) or 4 * hidden),
                number=int(model.dtype.itemsize),
            )
        except (AttributeError, TypeError):
            return None

    @property
    def token(self) -> int:
        """Bytes of a token: keys and values of every layer, and what one layer works on."""
        kept = 2 * self.layers * self.key_heads * self.head_size
        work = HIDDEN_COPIES * self.hidden + INNER_COPIES * self.inner
        return self.number * (kept + work + 2 * self.heads * self.head_size)

    @property
    def pair(self) -> int:
        """Bytes of two tokens of one prompt, one of which attends to the other."""
        return self.number * SCORE_COPIES * self.heads


def fitting(free: int, shape: Shape, most: int) -> tuple[int, int]:
    """Padded tokens of a batch, at most ``most``, and pairs of tokens, for so many free bytes.

    At least one token; a prompt that is longer than that still goes, alone.
    """
    room = int(SHARE * free)
    return max(1, min(most, room // shape.token)), max(1, room // shape.pair)


def free_bytes(device: torch.device) -> int | None:
    """Bytes that can be had on a device, those that torch holds in reserve among them.

    None where nobody tells.
    """
    import torch

    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
