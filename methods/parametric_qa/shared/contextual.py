"""A contextual encoder: an adapter of its own, codes within -1 and 1, and states of questions.

The model reads a document and memory tokens with the reader's adapter and one more. Slots depend
on the document and on slots before them alone, and numbers of a slot on nothing else, so the first
slots and numbers of a code are a code too: one encoder writes several sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from methods.parametric_qa.shared.encoder import Encoder
from methods.parametric_qa.shared.layer_adapter import RoundedAdapter
from methods.parametric_qa.shared.parts import SharedConfig


class Size(BaseModel):
    """What is kept of a code: its first slots, of each the first numbers, in so many bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: int = Field(ge=1)
    z_dim: int = Field(ge=1)
    bits: int = Field(ge=2, le=8)

    @property
    def name(self) -> str:
        """As a parameter has it: slots, numbers, bits."""
        return f"{self.slots}x{self.z_dim}x{self.bits}"


class ContextualEncoder(Encoder):
    """An encoder whose codes are within -1 and 1, with an adapter, and states of questions."""

    kind = "contextual"

    def __init__(
        self,
        config: SharedConfig,
        start: Sequence[int],
        shapes: Sequence[tuple[int, int]],
        layers: int,
        rank: int,
        sizes: Sequence[Size],
    ) -> None:
        super().__init__(config, start)
        self.layers, self.rank, self.shapes = layers, rank, tuple(shapes)
        self.sizes = tuple(sizes)
        self.ask = nn.Parameter(torch.zeros(config.hidden))
        self.adapter = RoundedAdapter(shapes, layers, rank)

    def hidden_states(self, model: Any, documents: Sequence[Sequence[int]]) -> Tensor:
        """Last hidden states at the memory tokens, float32 [documents, slots, hidden]."""
        with self.adapter.on(model.get_decoder()):
            return super().hidden_states(model, documents)

    def forward(self, model: Any, documents: Sequence[Sequence[int]]) -> Tensor:
        """Codes [documents, slots, z_dim] within -1 and 1, not yet rounded."""
        return torch.tanh(super().forward(model, documents))

    @torch.no_grad()
    def question_state(self, model: Any, ids: Sequence[int]) -> Tensor:
        """The last hidden state after a question's tokens, float32 [1, hidden]."""
        embed = model.get_input_embeddings()
        text = embed(torch.tensor([*self.start, *ids], device=embed.weight.device))
        inputs = torch.cat([text, self.ask[None].to(text)])[None]
        with self.adapter.on(model.get_decoder()):
            output = model.get_decoder()(inputs_embeds=inputs, use_cache=False)
        states: Tensor = output.last_hidden_state[:, -1]
        return states.float()

    def cut(self, config: SharedConfig) -> Self:
        """The encoder of the first slots and numbers."""
        less = type(self)(config, self.start, self.shapes, self.layers, self.rank, self.sizes)
        values = self.state_dict()
        values["tokens"] = self.tokens[: config.slots]
        for name in ("project.weight", "project.bias"):
            values[name] = values[name][: config.z_dim]
        less.load_state_dict(values)
        return less.eval().requires_grad_(False)

    def described(self) -> dict[str, Any]:
        """What ``encoder.json`` holds beside shape and start."""
        return {
            "adapter": {"shapes": self.shapes, "layers": self.layers, "rank": self.rank},
            "sizes": [size.model_dump() for size in self.sizes],
        }

    @classmethod
    def read(cls, shape: SharedConfig, values: dict[str, Any]) -> Self:
        """An encoder without its numbers, of what ``encoder.json`` holds.

        Raises KeyError, TypeError or ValueError for what it does not.
        """
        adapter = values["adapter"]
        sizes = [Size.model_validate(size) for size in values["sizes"]]
        shapes = [(int(inner), int(out)) for inner, out in adapter["shapes"]]
        return cls(shape, values["start"], shapes, adapter["layers"], adapter["rank"], sizes)
