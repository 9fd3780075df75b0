"""Closed forms: the change of a weight that gives keys new values and leaves other keys alone.

Rank-one: Meng et al., Locating and Editing Factual Associations in GPT, NeurIPS 2022, equation 2.
Many at once: Meng et al., Mass-Editing Memory in a Transformer, ICLR 2023, equation 14.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.llm.edit import LowRank

_RIDGE = 1e-2


def conditioned(moment: Tensor) -> Tensor:
    """The second moment of keys [in, in] in float64, with a hundredth of its mean diagonal added.

    Of few tokens it has no inverse otherwise.
    """
    moment = moment.double()
    share = _RIDGE * moment.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
    return moment + share * torch.eye(len(moment), dtype=moment.dtype, device=moment.device)


def rank_one(moment: Tensor, key: Tensor, wanted: Tensor) -> LowRank:
    """The change after which a weight maps ``key`` [in] to what it did and ``wanted`` [out].

    Of all such changes the one that moves the values of other keys least, in squares, on average
    over keys of the second moment ``moment`` [in, in].
    """
    direction = torch.linalg.solve(moment, key.double())
    left = wanted.double() / (direction @ key.double())
    return LowRank(left[:, None].float(), direction[None].float())


def many(moment: Tensor, weight: float, keys: Tensor, wanted: Tensor) -> LowRank:
    """The change that adds ``wanted`` [facts, out] to the values of ``keys`` [facts, in].

    The least squares of what it misses of them, and of what it moves of other keys, these with
    ``weight``.
    """
    keys, wanted = keys.double(), wanted.double()
    right = torch.linalg.solve(weight * moment + keys.T @ keys, keys.T)
    return LowRank(wanted.T.contiguous().float(), right.T.contiguous().float())


def joined(*edits: LowRank) -> LowRank:
    """The sum of several changes of one weight."""
    left, right = zip(*((edit.left, edit.right) for edit in edits), strict=True)
    return LowRank(torch.cat(left, dim=1), torch.cat(right, dim=0))
