"""Ids of tokens as a bank stores them: in as few bytes as the vocabulary allows."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

TokenIds = Literal["tokens2", "tokens3"]
"""How ids of tokens are stored: in so many bytes each."""
WIDTHS: dict[str, int] = {"tokens2": 2, "tokens3": 3}


def token_ids(vocabulary: int) -> TokenIds:
    """The fewest bytes that hold every id and the number of the vocabulary itself."""
    return "tokens2" if vocabulary < 2**16 else "tokens3"


def as_bytes(ids: Tensor, width: int) -> Tensor:
    """Whole numbers [..., 1] as ``width`` bytes [..., width], the lowest first."""
    shifts = torch.arange(width) * 8
    return ((ids.long() >> shifts) & 255).to(torch.uint8)


def from_bytes(stored: Tensor) -> Tensor:
    """The numbers, float32 [..., 1], which holds them exactly."""
    shifts = torch.arange(stored.shape[-1]) * 8
    return (stored.long() << shifts).sum(dim=-1, keepdim=True).float()
