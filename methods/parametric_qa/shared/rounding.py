"""Rounding of bounded codes to a grid, in training and in storing alike."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Grid = Literal["grid2", "grid4", "grid8"]
"""How codes within -1 and 1 are stored: in so many bits a number, without a scale."""
GRIDS: dict[int, Grid] = {2: "grid2", 4: "grid4", 8: "grid8"}
BITS: dict[str, int] = {name: bits for bits, name in GRIDS.items()}


def levels(bits: int) -> int:
    """The largest whole number of a grid: with its negative and 0, it fits into so many bits."""
    return int(2 ** (bits - 1)) - 1


def rounded(codes: Tensor, bits: int) -> Tensor:
    """Codes within -1 and 1 on a grid of ``bits``; the gradient is that of no rounding."""
    largest = levels(bits)
    found = (codes.detach() * largest).round() / largest
    return codes + (found - codes).detach()


def packed(codes: Tensor, bits: int) -> Tensor:
    """Codes [..., z_dim] on their grid as bytes [..., ``packed_width``], the first in low bits."""
    each = 8 // bits
    whole = ((codes * levels(bits)).round() + levels(bits)).to(torch.uint8)
    short = -whole.shape[-1] % each
    whole = torch.nn.functional.pad(whole, (0, short))
    parts = whole.view(*whole.shape[:-1], -1, each)
    shifts = torch.arange(each, dtype=torch.uint8) * bits
    found: Tensor = (parts << shifts).sum(dim=-1).to(torch.uint8)
    return found


def unpacked(stored: Tensor, bits: int, z_dim: int) -> Tensor:
    """Codes float32 [..., z_dim] of what ``packed`` gave."""
    shifts = torch.arange(8 // bits, dtype=torch.uint8) * bits
    whole = (stored[..., None] >> shifts) & (2**bits - 1)
    found: Tensor = (whole.flatten(-2)[..., :z_dim].float() - levels(bits)) / levels(bits)
    return found


def packed_width(z_dim: int, bits: int) -> int:
    """Bytes of a slot."""
    return -(-z_dim * bits // 8)
