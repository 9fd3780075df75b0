"""An edit of a model: what stands in the place of one of its weights or modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class LowRank:
    """A change of a weight [out, in]: the product of ``left`` [out, rank] and ``right`` [rank, in].

    It is added in float32 and rounded once to the weight's own dtype.
    """

    left: Tensor
    right: Tensor


@dataclass(frozen=True, slots=True)
class Added:
    """A change of a weight, of its shape; added as a ``LowRank`` is."""

    change: Tensor


Edit: TypeAlias = Union["Tensor", LowRank, Added, "nn.Module"]
"""A parameter's new content, a change that is added to it, or a module in the place of another."""
