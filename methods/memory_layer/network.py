"""A memory layer in a model: product keys that find slots, and the values that these add.

A query is looked up in two codebooks of n half keys, so that the k best of n * n slots are found
exactly (Lample et al., Large Memory Layers with Product Keys, NeurIPS 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHARPNESS = 8.0
"""Of the shares that slots have by their scores, which are sums of two cosines."""


class Keys(nn.Module):
    """What finds a token's slots: a projection of hidden states to queries, and half keys.

    ``mean`` [hidden], ``project`` [heads, 2, half, hidden], ``codes`` [heads, 2, n, half] of
    length 1; all float32.
    """

    mean: Tensor
    project: Tensor
    codes: Tensor

    def __init__(self, mean: Tensor, project: Tensor, codes: Tensor, k: int) -> None:
        super().__init__()
        self.k = k
        self.register_buffer("mean", mean)
        self.register_buffer("project", project)
        self.register_buffer("codes", codes)

    @property
    def slots(self) -> int:
        """How many there are."""
        return int(self.codes.shape[2]) ** 2

    def queries(self, hidden: Tensor) -> Tensor:
        """Of hidden states [tokens, hidden]: [tokens, heads, 2, half] of length 1."""
        centred = hidden.float() - self.mean
        return F.normalize(torch.einsum("th,nsqh->tnsq", centred, self.project), dim=-1)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Slots and their weights [tokens, heads * k] of hidden states [tokens, hidden].

        A head's weights add up to 1. They count from the best slot that is left out, so that
        none jumps where two slots change places: rounding then changes no answer.
        """
        similar = torch.einsum("tnsq,nscq->tnsc", self.queries(hidden), self.codes)
        n = similar.shape[-1]
        best, places = similar.topk(min(self.k + 1, n), dim=-1)
        sums = (best[:, :, 0, :, None] + best[:, :, 1, None, :]).flatten(2)
        slots = (places[:, :, 0, :, None] * n + places[:, :, 1, None, :]).flatten(2)
        scores, chosen = sums.topk(self.k + 1, dim=-1)
        shares = (SHARPNESS * (scores - scores[..., :1])).exp()
        above = shares[..., :-1] - shares[..., -1:]
        weights = above / above.sum(dim=-1, keepdim=True).clamp_min(1e-12)
        return slots.gather(2, chosen)[..., :-1].flatten(1), weights.flatten(1)


class MemoryLayer(nn.Module):
    """What stands in the place of an MLP: hidden states [..., hidden] to what is added to them.

    ``base`` says what all texts have in common: the MLP itself, or a map in its place. ``values``
    [changed, hidden], in units of ``scale``, are those of the slots ``changed`` [changed], at least
    one; all others hold nothing.
    """

    changed: Tensor
    row: Tensor

    def __init__(
        self, keys: Keys, base: nn.Module, scale: float, changed: Tensor, values: Tensor
    ) -> None:
        super().__init__()
        self.keys, self.base, self.scale = keys, base, scale
        row = torch.full((keys.slots,), -1, device=changed.device)
        row[changed.long()] = torch.arange(len(changed), device=changed.device)
        self.register_buffer("changed", changed)
        self.register_buffer("row", row)
        self.values = nn.Parameter(values.float())

    def forward(self, hidden: Tensor) -> Tensor:
        """The base's output, and the values of the slots that each token finds."""
        slots, weights = self.keys(hidden.reshape(-1, hidden.shape[-1]))
        rows = self.row[slots]
        shares = weights * (rows >= 0)
        found = F.embedding_bag(
            rows.clamp_min(0), self.values, per_sample_weights=shares, mode="sum"
        )
        added = (self.scale * found).reshape(hidden.shape).to(hidden.dtype)
        output: Tensor = self.base(hidden) + added
        return output
