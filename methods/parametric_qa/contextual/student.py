"""What a contextual training trains: two adapters, memory tokens, maps and keys; its codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.parametric_qa.contextual.network import Adapter, Frozen, Runner, Weights, merged
from methods.parametric_qa.contextual.pool import Array, Ragged
from methods.parametric_qa.contextual.recipe import Recipe
from methods.parametric_qa.shared.contextual import Size
from methods.parametric_qa.shared.rounding import rounded

SPREAD = 0.1
"""How far memory tokens begin from the mean embedding, in standard deviations of embeddings."""
SPAN = 0.7
"""Standard deviation of a code's numbers before tanh, at the start."""


class Student(nn.Module):
    """Trained parts over frozen weights; codes are within -1 and 1, rounded to a size's grid.

    ``tokens`` [slots, hidden] follow a document, ``ask`` [hidden] a question; ``keys`` [slots,
    key_dim, key_width] make one vector of a code's slots, however many there are.
    """

    def __init__(self, frozen: Frozen, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        hidden, table = frozen.embed.shape[1], frozen.embed
        self.reader = Adapter(frozen, recipe.reader_rank, recipe.seed)
        self.encoder = Adapter(frozen, recipe.encoder_rank, recipe.seed + 1)
        source = torch.Generator().manual_seed(recipe.seed)
        noise = torch.randn(recipe.slots + 1, hidden, generator=source).to(table.device)
        begin = table.mean(dim=0) + SPREAD * table.std(dim=0) * noise
        self.tokens, self.ask = nn.Parameter(begin[:-1].clone()), nn.Parameter(begin[-1].clone())
        self.mark = nn.Parameter(table.mean(dim=0).clone())
        self.project = nn.Linear(hidden, recipe.z_dim)
        self.up = nn.Linear(recipe.z_dim, hidden)
        shape = (recipe.slots, recipe.key_dim, recipe.key_width)
        keys = torch.randn(shape, generator=source) / (recipe.slots * recipe.key_dim) ** 0.5
        self.keys = nn.Parameter(keys)
        self.query = nn.Linear(hidden, recipe.key_width)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / recipe.temperature)))

    @torch.no_grad()
    def begin(self, hidden: Tensor, table: Tensor) -> None:
        """Principal components of the embeddings, scaled to the codes of ``hidden`` [n, hidden]."""
        variances, directions = torch.linalg.eigh(torch.cov(table.float().T))
        kept = directions.flip(1)[:, : self.recipe.z_dim]
        spread = variances.flip(0)[: self.recipe.z_dim].clamp_min(1e-12).sqrt()
        found = hidden.float() @ kept
        scale = SPAN / found.std(dim=0).clamp_min(1e-6)
        self.project.weight.copy_(kept.T * scale[:, None])
        self.project.bias.copy_(-found.mean(dim=0) * scale)
        self.up.weight.copy_(kept * spread)
        self.up.bias.copy_(table.float().mean(dim=0))

    def codes(self, hidden: Tensor, size: Size) -> Tensor:
        """Codes [documents, slots, z_dim] of a size, of hidden states at memory tokens."""
        exact = torch.tanh(self.project(hidden[:, : size.slots].float()))
        return rounded(exact[..., : size.z_dim], size.bits)

    def memories(self, codes: Tensor) -> Tensor:
        """What the reader reads [documents, 1 + slots, hidden]."""
        z = F.linear(codes, self.up.weight[:, : codes.shape[-1]], self.up.bias)
        return torch.cat([self.mark.expand(len(z), 1, -1), z], dim=1)

    def document_keys(self, codes: Tensor) -> Tensor:
        """Unit vectors [documents, key_width]."""
        parts = codes[..., : self.recipe.key_dim]
        return F.normalize(torch.einsum("dsz,szk->dk", parts, self.keys[: codes.shape[1]]), dim=-1)

    def question_keys(self, states: Tensor) -> Tensor:
        """Unit vectors [questions, key_width] of hidden states at ``ask``."""
        return F.normalize(self.query(states.float()), dim=-1)


class Passes:
    """Passes of the network over token lists on its device, right-padded."""

    def __init__(
        self, frozen: Frozen, student: Student, start: Sequence[int], run: Runner | None = None
    ) -> None:
        self.frozen, self.student, self.start = frozen, student, list(start)
        self.run = run or Runner(frozen)
        self.device = frozen.embed.device
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.embed, self.head = frozen.embed.to(self.dtype), frozen.head.to(self.dtype)

    def encoder(self) -> Weights:
        """The encoder's weights: the reader's with one more adapter."""
        return merged(self.frozen, (self.student.reader, self.student.encoder), self.dtype)

    def reader(self) -> Weights:
        """The tuned reader's weights."""
        return merged(self.frozen, (self.student.reader,), self.dtype)

    def tensor(self, values: Any) -> Tensor:
        """Whole numbers on the device."""
        found = torch.as_tensor(values, dtype=torch.long)
        return found.to(self.device, non_blocking=True)

    def states(
        self, weights: Weights, texts: Sequence[Array], tokens: Tensor, chunks: int = 1
    ) -> Tensor:
        """Hidden states [texts, tokens, hidden] at vectors ``tokens`` read after each text.

        In ``chunks`` parts of like length.
        """
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        size = -(-len(order) // chunks)
        found = []
        for first in range(0, len(order), size):
            part = order[first : first + size]
            found.append(self._states(weights, [texts[n] for n in part], tokens))
        back = self.tensor(order).argsort()
        return torch.cat(found)[back]

    def _states(self, weights: Weights, texts: Sequence[Array], tokens: Tensor) -> Tensor:
        import numpy as np

        count, begin = len(tokens), len(self.start)
        lengths = np.array([begin + len(text) for text in texts])
        ids = np.zeros((len(texts), _padded(int(lengths.max()) + count)), dtype=np.int64)
        ids[:, :begin] = self.start
        for row, text in zip(ids, texts, strict=True):
            row[begin : begin + len(text)] = text
        columns = self.tensor(lengths[:, None] + np.arange(count))
        rows = torch.arange(len(texts), device=self.device)[:, None].expand_as(columns)
        x = F.embedding(self.tensor(ids), self.embed)
        given = tokens.to(self.dtype).expand(len(texts), -1, -1)
        return self.run(weights, x.index_put((rows, columns), given))[rows, columns]


def _padded(length: int) -> int:
    return -(-length // 8) * 8


def texts_of(lists: Ragged, numbers: Sequence[int]) -> list[Array]:
    """Some of many lists."""
    return [lists[number] for number in numbers]
