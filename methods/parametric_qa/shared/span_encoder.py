"""An encoder that adds to span codes what the model thinks while it reads the document.

The first layers of the model read the text, with an adapter of the encoder's own. What they think
at a token changes how much the token tells, and what they think over a span is mapped and added to
the mean of its embeddings. Both begin at nothing: untrained, the codes are those of ``span_codes``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from harness.errors import ConfigError
from methods.parametric_qa.shared.encoder import DocumentEncoder, last_states
from methods.parametric_qa.shared.initial import span_means
from methods.parametric_qa.shared.layer_adapter import PLACES, TrainedAdapter
from methods.parametric_qa.shared.parts import SharedConfig

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from methods.parametric_qa.shared.parts import SharedParts

LAYERS, RANK = 6, 8
FARTHEST = 4.0
"""Nats by which a token's salience changes at most."""


class SpanEncoder(DocumentEncoder):
    """Span codes, and what the first ``layers`` of the model add.

    ``weigh`` takes a token's state to the log of what its salience is multiplied by, ``add`` the
    mean state of a span to what its code gains, in standard deviations of codes.
    """

    kind = "spans+encoder"

    def __init__(
        self,
        config: SharedConfig,
        start: Sequence[int],
        shapes: Sequence[tuple[int, int]],
        layers: int,
        rank: int,
        seed: int | None = 0,
    ) -> None:
        super().__init__(config, start)
        self.shapes, self.layers, self.rank = tuple(shapes), layers, rank
        self.adapter = TrainedAdapter(shapes, layers, rank, seed)
        self.weigh = nn.Linear(config.hidden, 1, bias=False)
        self.add = nn.Linear(config.hidden, config.z_dim)
        for weight in (*self.weigh.parameters(), *self.add.parameters()):
            nn.init.zeros_(weight)
        # A tuple, so that they are no parameters of the encoder.
        self._parts: tuple[SharedParts, ...] = ()

    @classmethod
    def from_model(
        cls,
        llm: LocalModel,
        parts: SharedParts,
        seed: int = 0,
        layers: int = LAYERS,
        rank: int = RANK,
    ) -> Self:
        """An untrained encoder of as many first layers as the model has, at most.

        Raises ConfigError for a model whose layers are not named as Llama's are.
        """
        found = llm.model.get_decoder().layers
        try:
            places = [found[0].get_submodule(place) for place in PLACES]
        except AttributeError as error:
            raise ConfigError(
                f"model '{llm.name}' has no layers {', '.join(PLACES)}, which an encoder's adapter "
                f"changes ({error}); train with init: spans"
            ) from error
        shapes = [(place.in_features, place.out_features) for place in places]
        encoder = cls(parts.config, llm.encode(""), shapes, min(layers, len(found)), rank, seed)
        encoder.join(parts)
        return encoder.to(llm.device)

    def join(self, parts: SharedParts) -> None:
        """Take the shared parts that make span codes."""
        super().join(parts)
        self._parts = (parts,)

    def states(self, model: Any, documents: Sequence[Sequence[int]]) -> list[Tensor]:
        """What the first layers think at each document's tokens, float32 [length, hidden]."""
        embed, first = model.get_input_embeddings(), _first(model.get_decoder(), self.layers)
        device = embed.weight.device
        rows = [embed(torch.tensor([*self.start, *ids], device=device)) for ids in documents]
        with self.adapter.on(first):
            found = last_states(first, rows)
        return [row[len(self.start) :].float() for row in found]

    def forward(self, model: Any, documents: Sequence[Sequence[int]]) -> Tensor:
        """Codes [documents, slots, z_dim] of token ids; gradients reach whatever is trained."""
        (parts,) = self._parts
        shape, device = self.config, parts.salience.device
        table = model.get_input_embeddings()
        means, thoughts = [], []
        for ids, states in zip(documents, self.states(model, documents), strict=True):
            tokens = torch.tensor(ids, device=device)
            embeddings = table(tokens.to(states.device)).to(device, torch.float32)
            # Less far than FARTHEST, the change is as it is thought.
            change = FARTHEST * torch.tanh(self.weigh(states).squeeze(-1) / FARTHEST)
            salience = parts.salience[tokens] * change.exp().to(device)
            means.append(span_means(embeddings, salience, shape.slots, shape.sharpness))
            thoughts.append(span_means(states.to(device), salience, shape.slots, 0.0))
        more = self.add(torch.stack(thoughts).to(self.add.weight.device)).to(device)
        codes: Tensor = (
            parts.down(torch.stack(means)) + more * parts.code_std.square().mean().sqrt()
        )
        return codes

    def described(self) -> dict[str, Any]:
        """What ``encoder.json`` holds beside shape and start."""
        return {
            "kind": self.kind,
            "spans": {"shapes": self.shapes, "layers": self.layers, "rank": self.rank},
        }

    @classmethod
    def read(cls, shape: SharedConfig, values: dict[str, Any]) -> Self:
        """An encoder without its numbers, of what ``encoder.json`` holds.

        Raises KeyError, TypeError or ValueError for what it does not.
        """
        own = values["spans"]
        shapes = [(int(inner), int(out)) for inner, out in own["shapes"]]
        return cls(shape, values["start"], shapes, own["layers"], own["rank"], seed=None)


def _first(decoder: Any, layers: int) -> Any:
    """A view of the decoder with its first layers alone; nothing of the decoder is changed."""
    view = copy.copy(decoder)
    # Accelerate gives rounded models a forward of their own, which would run the whole decoder.
    view.__dict__.pop("forward", None)
    view._modules = {**decoder._modules, "layers": decoder.layers[:layers]}
    return view
