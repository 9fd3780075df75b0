"""Rows that a model reads in training: a prompt with memories in it, and the tokens to predict.

The first target token is predicted at the last position before it, which is a memory's last vector
where the prompt ends with one, and every target ends with an end token: nothing is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.errors import ConfigError
from harness.llm.soft import woven

if TYPE_CHECKING:
    from harness.llm.local import LocalModel


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence: a prompt's parts (``LocalModel.parts``) with memories in between, and target.

    ``memories`` are [any length, hidden], one fewer than the parts.
    """

    parts: Sequence[Sequence[int]]
    memories: Sequence[Tensor]
    target: Sequence[int]

    @property
    def length(self) -> int:
        """Positions that the model reads."""
        tokens = sum(map(len, self.parts)) + len(self.target)
        return tokens + sum(map(len, self.memories))


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows padded on the left, so that all targets end in the last column.

    ``inputs`` [rows, length, hidden], ``mask`` and ``positions`` [rows, length], ``targets``
    [rows, longest target] with -100 before the shorter ones.
    """

    inputs: Tensor
    mask: Tensor
    positions: Tensor
    targets: Tensor


def end_token(llm: LocalModel) -> int:
    """The token that ends every reconstructed text. Raises ConfigError if the model has none."""
    own = llm.tokenizer.eos_token_id
    known = own if own is not None else llm.model.generation_config.eos_token_id
    if known is None:
        raise ConfigError(
            f"model '{llm.name}' has no end token, so nothing can learn where a text ends; take "
            "a model whose tokenizer names one"
        )
    return int(known[0] if isinstance(known, list) else known)


def pack(model: Any, rows: Sequence[Row]) -> Packed:
    """Embed and pad rows; gradients flow into the memories.

    Raises ValueError for a row of a target alone: nothing would predict its first token.
    """
    if any(row.length == len(row.target) for row in rows):
        raise ValueError("a row needs a memory or a prompt before its target")
    embed = model.get_input_embeddings()
    device = embed.weight.device
    parts = [
        woven(embed, [*row.parts[:-1], [*row.parts[-1], *row.target]], row.memories) for row in rows
    ]
    length, longest = max(map(len, parts)), max(len(row.target) for row in rows)
    inputs = torch.stack([F.pad(part, (0, 0, length - len(part), 0)) for part in parts])
    mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in parts], device=device)
    targets = torch.tensor(
        [[-100] * (longest - len(row.target)) + list(row.target) for row in rows], device=device
    )
    return Packed(inputs, mask, (mask.cumsum(dim=1) - 1).clamp_min(0), targets)


def target_logits(model: Any, packed: Packed) -> Tensor:
    """Logits [rows, longest target, vocabulary]; column i predicts ``targets[:, i]``."""
    length, longest = packed.mask.shape[1], packed.targets.shape[1]
    # As indices and not as a number: a slice is not contiguous, and the head's matrix would be
    # copied for every row (measured on a CPU: more than the rest of the step).
    kept = torch.arange(length - longest - 1, length - 1, device=packed.mask.device)
    output = model(
        inputs_embeds=packed.inputs,
        attention_mask=packed.mask,
        position_ids=packed.positions,
        logits_to_keep=kept,
        use_cache=False,
    )
    logits: Tensor = output.logits
    return logits.float()


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood in nats [rows, longest target]; 0 where there is no target."""
    return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100, reduction="none")


def row_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood of each row's target [rows], in nats a token."""
    return token_losses(logits, targets).sum(dim=1) / (targets != -100).sum(dim=1)
