"""Selectors: scores of every document of a bank for a question, from its codes alone.

All but the last embed the question's tokens with the model's own input embeddings; all compare
with codes, so nothing is stored for selection and no passage text is kept.

- ``cosine``: mean of the question's embeddings against the mean of z, as the proposal has it.
- ``router``: one learned vector a document and one a question, an MLP on both and their product.
  The product matters: a score that is linear in both side by side ranks every query alike.
- ``attention``: every token of the question attends to its best slot (late interaction, Khattab
  and Zaharia, SIGIR 2020), weighted by how rare tokens like it are.
- ``states``: what a contextual encoder thinks after the question, against one vector a document.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.parametric_qa.shared.parts import SharedParts

SelectionName = Literal["cosine", "router", "attention", "states"]
Selection = SelectionName | Literal["words", "words+attention"]
"""Also by BM25 over the words that codes are made of, where these are tokens of the text, alone or
with attention."""


class Selector(nn.Module):
    """Scores documents for one question. ``tokens`` are its input embeddings [length, hidden]."""

    @abstractmethod
    def keys(self, codes: Tensor) -> Tensor:
        """What of the documents' codes [n, slots, z_dim] a score needs, [n, ...]."""

    @abstractmethod
    def scores(self, tokens: Tensor, keys: Tensor) -> Tensor:
        """Scores [n], higher is better."""


class CosineSelector(Selector):
    """Cosine of the question's mean embedding and the mean of a memory's z. Nothing is learned."""

    def __init__(self, parts: SharedParts) -> None:
        super().__init__()
        self.parts = (parts,)  # a tuple, so that they are not parameters of the selector

    def keys(self, codes: Tensor) -> Tensor:
        """Unit vectors [n, hidden]."""
        z: Tensor = self.parts[0].up(codes)
        return F.normalize(z.mean(dim=-2), dim=-1)

    def scores(self, tokens: Tensor, keys: Tensor) -> Tensor:
        """Cosines [n]."""
        return keys @ F.normalize(tokens.mean(dim=0), dim=-1)


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """Keys of documents whose slots are tokens: one a token, however many slots have it.

    ``each`` [tokens, width] are unit vectors, ``slots`` [n, slots] int32 their numbers. 3,462
    documents of 64 slots take 1.5 MB so and 57 MB slot by slot.
    """

    each: Tensor
    slots: Tensor

    @classmethod
    def of(cls, selector: AttentionSelector, ids: Tensor, codebook: Tensor) -> Self:
        """Keys of token ids [n, slots] whose codes are rows of ``codebook``."""
        used, slots = torch.unique(ids, return_inverse=True)
        return cls(selector.keys(codebook[used]), slots.int())

    def highest(self, query: Tensor) -> Tensor:
        """Products [n, length] of each row of ``query`` [length, width] with a document's best."""
        slots = self.slots.flatten()
        rows = [
            alike.index_select(0, slots).view(self.slots.shape).amax(dim=1)
            for alike in query @ self.each.T
        ]
        return torch.stack(rows, dim=1)


class AttentionSelector(Selector):
    """Sum over the question's tokens of weight times the best slot's cosine.

    ``query`` and ``key`` map embeddings and codes to ``width`` numbers (``z_dim`` at most);
    untrained they whiten the principal components that both are made of. ``weight`` says how much
    a token counts; untrained it is the same for all, ``fit_weights`` lets it fall with how common
    a token is.
    """

    def __init__(self, parts: SharedParts, width: int) -> None:
        super().__init__()
        z_dim, hidden = parts.config.z_dim, parts.config.hidden
        width = min(width, z_dim)
        self.width = width
        self.query = nn.Linear(hidden, width)
        self.key = nn.Linear(z_dim, width, bias=False)
        self.weight = nn.Linear(hidden, 1)
        scale = torch.diag(parts.code_std.reciprocal())[:width]
        with torch.no_grad():
            self.key.weight.copy_(scale)
            self.query.weight.copy_(scale @ parts.down.weight)
            self.query.bias.copy_(scale @ parts.down.bias)
            self.weight.weight.zero_()
            self.weight.bias.zero_()

    def keys(self, codes: Tensor) -> Tensor:
        """Unit vectors [n, slots, width]."""
        return F.normalize(self.key(codes), dim=-1)

    def scores(self, tokens: Tensor, keys: Tensor | TokenKeys) -> Tensor:
        """Weighted means of the best slots' cosines [n]."""
        return self.weighted(tokens, self.nearest(tokens, keys))

    def nearest(self, tokens: Tensor, keys: Tensor | TokenKeys) -> Tensor:
        """Cosines [n, length] of the best slot for each of the question's tokens."""
        query = F.normalize(self.query(tokens), dim=-1)
        if isinstance(keys, TokenKeys):
            return keys.highest(query)
        # A document's slots side by side: the highest of them is found nine times faster.
        each = (query @ keys.flatten(0, 1).T).view(len(query), *keys.shape[:2])
        return each.amax(dim=2).T

    def weighted(self, tokens: Tensor, nearest: Tensor) -> Tensor:
        """Scores [n] of the cosines."""
        weights = F.softplus(self.weight(tokens)).squeeze(-1)
        best: Tensor = nearest @ (weights / weights.sum())
        return best

    def fit_weights(self, embeddings: Tensor, salience: Tensor) -> None:
        """Ridge regression of a token's weight on its embedding, towards its salience.

        ``embeddings`` [vocabulary, hidden], ``salience`` [vocabulary]; tokens that no document has
        share the highest and are left out.
        """
        seen = salience < salience.max()
        inputs = torch.cat([embeddings[seen], torch.ones(int(seen.sum()), 1)], dim=1).double()
        gram = inputs.T @ inputs + 0.1 * torch.eye(inputs.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(gram, inputs.T @ salience[seen].double()).float()
        with torch.no_grad():
            self.weight.weight.copy_(solution[:-1])
            self.weight.bias.copy_(solution[-1])


class RouterSelector(Selector):
    """A learned router: an MLP on [q, d, q * d] for one vector q a question and d a document.

    Both are attention-pooled, so that a document's is not a plain mean over its slots. A cosine is
    added, so that training begins from one.
    """

    def __init__(self, parts: SharedParts, width: int) -> None:
        super().__init__()
        self.attention = AttentionSelector(parts, width)
        width = self.attention.width
        self.pool = nn.Linear(width, 1)
        last = nn.Linear(width, 1)
        self.mlp = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), last)
        for layer in (self.pool, last):
            nn.init.zeros_(layer.weight)

    def keys(self, codes: Tensor) -> Tensor:
        """Unit vectors [n, width]."""
        slots = self.attention.key(codes)
        shares = self.pool(slots).softmax(dim=-2)
        return F.normalize((shares * slots).sum(dim=-2), dim=-1)

    def scores(self, tokens: Tensor, keys: Tensor) -> Tensor:
        """Logits [n]."""
        mapped = self.attention.query(tokens)
        weights = F.softplus(self.attention.weight(tokens))
        query = F.normalize((weights * mapped).sum(dim=0), dim=-1)
        both = torch.cat([query.expand_as(keys), keys, query * keys], dim=-1)
        logits: Tensor = keys @ query + self.mlp(both).squeeze(-1)
        return logits


class StateSelector(Selector):
    """Cosine of what a contextual encoder thinks after the question and one vector a document.

    That vector is a sum over slots, each with a map [key_dim, width] of its own for its first
    numbers: so it is one for any number of slots. ``tokens`` of a question are its state [1,
    hidden].
    """

    def __init__(self, parts: SharedParts, width: int, key_dim: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.zeros(parts.config.slots, key_dim, width))
        self.query = nn.Linear(parts.config.hidden, width)

    def keys(self, codes: Tensor) -> Tensor:
        """Unit vectors [n, width]."""
        numbers = codes[..., : self.maps.shape[1]]
        return F.normalize(torch.einsum("nsz,szk->nk", numbers, self.maps), dim=-1)

    def scores(self, tokens: Tensor, keys: Tensor) -> Tensor:
        """Cosines [n]."""
        found: Tensor = keys @ F.normalize(self.query(tokens[0]), dim=-1)
        return found

    def cut(self, parts: SharedParts) -> StateSelector:
        """The selector of parts that have the first slots of these alone."""
        _, key_dim, width = self.maps.shape
        less = StateSelector(parts, width, key_dim)
        less.load_state_dict({**self.state_dict(), "maps": self.maps[: parts.config.slots]})
        return less.eval().requires_grad_(False)


def make_selector(
    name: SelectionName, parts: SharedParts, width: int, key_dim: int | None = None
) -> Selector:
    """An untrained selector; ``key_dim`` is for states alone, all of z_dim if None."""
    if name == "cosine":
        return CosineSelector(parts)
    if name == "states":
        return StateSelector(parts, width, key_dim or parts.config.z_dim)
    return {"router": RouterSelector, "attention": AttentionSelector}[name](parts, width)


def info_nce(scores: Tensor, gold: Tensor, log_scale: Tensor) -> Tensor:
    """Negative log of the share that all gold documents have together (a scalar).

    ``scores`` [n] of the candidates of one question, ``gold`` [n] booleans.
    """
    logits = scores * log_scale.exp()
    return logits.logsumexp(dim=0) - logits[gold].logsumexp(dim=0)
