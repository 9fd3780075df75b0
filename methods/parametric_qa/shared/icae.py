"""ICAE's encoder: a LoRA of all layers, and memory tokens that are read after a text.

Ge et al., ICLR 2024, arXiv 2307.06945; getao/icae, ``icae_v2/modeling_icae_multi_span.py``. The
last hidden states at the memory tokens are the memory, as they are; the reader is the model
without the LoRA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from harness.errors import InputError
from methods.parametric_qa.shared.encoder import DocumentEncoder, states_at
from methods.parametric_qa.shared.layer_adapter import GivenAdapter

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from methods.parametric_qa.shared.parts import SharedConfig

RATE = 4
"""Tokens of a text for each memory token, at most; of longer ones the authors make several
memories."""


class ICAEEncoder(DocumentEncoder):
    """``slots`` memory tokens after a text, which the model reads with the LoRA beside it.

    ``shapes`` are the widths, in and out, of each place that the LoRA changes; ``tokens``
    [slots, hidden] are input vectors.
    """

    kind = "icae"
    tokens: Tensor

    def __init__(
        self,
        config: SharedConfig,
        start: Sequence[int],
        shapes: dict[str, tuple[int, int]],
        layers: int,
        rank: int,
    ) -> None:
        super().__init__(config, start)
        self.lora = GivenAdapter(shapes, layers, rank)
        self.shapes, self.layers, self.rank = shapes, layers, rank
        self.register_buffer("tokens", torch.zeros(config.slots, config.hidden))

    @property
    def memory_tokens(self) -> int:
        """Positions that are read after a document."""
        return self.config.slots

    def check_fits(
        self, llm: LocalModel, documents: Sequence[Sequence[int]], names: Sequence[str]
    ) -> None:
        """Raise InputError for the first document that is longer than one memory's text."""
        super().check_fits(llm, documents, names)
        most = RATE * self.config.slots
        for document, name in zip(documents, names, strict=True):
            if (length := len(self.start) + len(document)) > most:
                raise InputError(
                    f"document {name!r} is {length} tokens, and ICAE writes at most {most} into a "
                    "memory; split the document"
                )

    def forward(self, model: Any, documents: Sequence[Sequence[int]]) -> Tensor:
        """Codes [documents, slots, hidden] of token ids, float32."""
        with self.lora.on(model.get_decoder()):
            return states_at(self.tokens, model, [[*self.start, *ids] for ids in documents])

    def described(self) -> dict[str, Any]:
        """What ``encoder.json`` holds beside shape and start."""
        lora = {"shapes": self.shapes, "layers": self.layers, "rank": self.rank}
        return {"kind": self.kind, "lora": lora}

    @classmethod
    def read(cls, shape: SharedConfig, values: dict[str, Any]) -> Self:
        """An encoder without its numbers, of what ``encoder.json`` holds.

        Raises KeyError, TypeError or ValueError for what it does not.
        """
        lora = values["lora"]
        shapes = {place: (int(inner), int(out)) for place, (inner, out) in lora["shapes"].items()}
        return cls(shape, values["start"], shapes, int(lora["layers"]), int(lora["rank"]))
