"""The word embeddings of a router in training: those of its texts, in place of the whole table.

A table of 30,000 words is half of a small encoder. Its gradient is 0 but for the few hundred words
of the texts; filling it with zeros and updating it took a quarter of a training.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


class FewWords:
    """Within it, any number of times, a model has the embeddings of some ids alone.

    Outside it has the whole table, those as they were trained. Every step is to the bit that of
    the whole table if the optimizer leaves alone what never had a gradient.
    """

    def __init__(self, model: Any, ids: Iterable[int]) -> None:
        self._model, self._table = model, model.get_input_embeddings()
        weight, pad = self._table.weight, self._table.padding_idx
        kept = sorted({*ids, *([] if pad is None else [pad])})
        self._kept = torch.tensor(kept, device=weight.device)
        self._words = _Words.from_pretrained(  # type: ignore[no-untyped-call]
            weight.data[self._kept],
            freeze=False,
            padding_idx=None if pad is None else kept.index(pad),
        )
        places = self._kept.new_zeros(len(weight))
        places[self._kept] = torch.arange(len(kept), device=weight.device)
        self._words.register_buffer("places", places, persistent=False)

    def __enter__(self) -> None:
        self._model.set_input_embeddings(self._words)

    def __exit__(self, *error: object) -> None:
        self._table.weight.data[self._kept] = self._words.weight.data
        self._model.set_input_embeddings(self._table)


class _Words(torch.nn.Embedding):
    """Some rows of a table, found by the ids that they have there."""

    places: torch.Tensor
    """Row of each id [vocabulary]."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings [..., hidden] of ids [...]."""
        return super().forward(self.places[ids])
