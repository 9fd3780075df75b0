"""Network of a cartridge: logits of a frozen model after keys and values, and the loss of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.llm.decoding import after_prefix
from harness.llm.keyvalues import KeyValues
from harness.llm.prefix import Layer, Layers, SharedPrefix
from harness.llm.scoring import pad_left

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

SINKS = 1
"""First positions that are not trained: models look there when they look at nothing."""
LIKELIEST = 20
"""Tokens whose probabilities a teacher gives at every place."""


@dataclass(frozen=True, slots=True)
class Taught:
    """What a teacher expects at every place of a target: ids and natural-log probabilities of its
    likeliest tokens, both [length, LIKELIEST]."""

    ids: Tensor
    logprobs: Tensor


class Trainable(nn.Module):
    """Keys and values in float32, all but the first position of every layer trained."""

    def __init__(self, start: KeyValues) -> None:
        super().__init__()
        self.model, self.length = start.model, start.length
        self.dtype = start.layers[0].keys.dtype
        parts = [(layer.keys, layer.values) for layer in start.layers]
        self.sinks = [tuple(part[:, :, :SINKS].clone() for part in pair) for pair in parts]
        self.keys = nn.ParameterList(keys[:, :, SINKS:].float().clone() for keys, _ in parts)
        self.values = nn.ParameterList(values[:, :, SINKS:].float().clone() for _, values in parts)

    def layers(self) -> tuple[Layer, ...]:
        """Keys and values as the model takes them; gradients go through."""
        rows = zip(self.sinks, self.keys, self.values, strict=True)
        return tuple(
            Layer(
                torch.cat([sinks[0], keys.to(self.dtype)], dim=2),
                torch.cat([sinks[1], values.to(self.dtype)], dim=2),
            )
            for sinks, keys, values in rows
        )

    def prefix(self) -> SharedPrefix:
        """What a forward pass follows."""
        return SharedPrefix((), Layers(self.layers()), self.length)

    def frozen(self) -> KeyValues:
        """The cartridge as it is now."""
        layers = tuple(Layer(x.keys.detach(), x.values.detach()) for x in self.layers())
        return KeyValues(layers, self.model)


def target_logits(
    llm: LocalModel, prefix: SharedPrefix, rows: Sequence[tuple[list[int], list[int]]]
) -> list[Tensor]:
    """Float32 logits [length of the target, vocabulary] for each prompt and target after a prefix.

    Tokens of prompts that the prefix holds are not read.
    """
    read = [(prompt + target)[len(prefix.ids) : -1] for prompt, target in rows]
    ids, mask = pad_left(read, llm.tokenizer.pad_token_id, llm.device)
    mask = torch.cat([mask.new_ones(len(read), prefix.length), mask], dim=1)
    output = llm.model(
        ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(dim=1) - 1).clamp_min(0)[:, prefix.length :],
        logits_to_keep=max(len(target) for _, target in rows),
        **after_prefix(llm.model, prefix, len(read)),
    )
    return [
        logits[-len(target) :].float()
        for logits, (_, target) in zip(output.logits, rows, strict=True)
    ]


def taught(logits: Tensor) -> Taught:
    """What a teacher with these logits [length, vocabulary] expects."""
    found = logits.log_softmax(dim=-1).topk(min(LIKELIEST, logits.shape[-1]), dim=-1)
    return Taught(found.indices, found.values)


def divergence(logits: Tensor, teacher: Taught) -> Tensor:
    """Kullback-Leibler divergence from the teacher over its likeliest tokens, summed over places.

    What the teacher gives to other tokens is left out.
    """
    own = logits.log_softmax(dim=-1).gather(1, teacher.ids)
    return (teacher.logprobs.exp() * (teacher.logprobs - own)).sum()
