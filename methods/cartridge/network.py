"""Network of a cartridge: logits of a frozen model after keys and values, and the loss of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.llm.apart import beginning_apart, takes
from harness.llm.decoding import after_prefix
from harness.llm.keyvalues import KeyValues
from harness.llm.prefix import Layer, Layers, SharedPrefix
from harness.llm.scoring import pad_left
from methods.cartridge.study import Learnt, Row

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


@dataclass(frozen=True, slots=True)
class Lesson:
    """A row to be studied, and what the teacher expects of it, if it is asked."""

    row: Row
    teacher: Taught | None = None


class Trainable(nn.Module):
    """Keys and values in float32, all but the first position trained, from one layer on."""

    def __init__(self, start: KeyValues, first: int = 0) -> None:
        super().__init__()
        self.model, self.length = start.model, start.length
        self.dtype = start.layers[0].keys.dtype
        self.below = start.layers[:first]
        parts = [(layer.keys, layer.values) for layer in start.layers[first:]]
        self.sinks = [tuple(part[:, :, :SINKS].clone() for part in pair) for pair in parts]
        self.keys = nn.ParameterList(keys[:, :, SINKS:].float().clone() for keys, _ in parts)
        self.values = nn.ParameterList(values[:, :, SINKS:].float().clone() for _, values in parts)

    def layers(self) -> tuple[Layer, ...]:
        """Keys and values as the model takes them; gradients go through."""
        rows = zip(self.sinks, self.keys, self.values, strict=True)
        trained = (
            Layer(
                torch.cat([sinks[0], keys.to(self.dtype)], dim=2),
                torch.cat([sinks[1], values.to(self.dtype)], dim=2),
            )
            for sinks, keys, values in rows
        )
        return (*self.below, *trained)

    def prefix(self) -> SharedPrefix:
        """What a forward pass follows."""
        return SharedPrefix((), Layers(self.layers()), self.length)

    def frozen(self) -> KeyValues:
        """The cartridge as it is now."""
        layers = tuple(Layer(x.keys.detach(), x.values.detach()) for x in self.layers())
        return KeyValues(layers, self.model)


def target_logits(
    llm: LocalModel,
    prefix: SharedPrefix,
    rows: Sequence[tuple[list[int], list[int]]],
    entered: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """Float32 logits [length of the target, vocabulary] for each prompt and target after a prefix.

    Tokens of prompts that the prefix holds are not read. ``entered`` [length, hidden] of each row
    stands for its tokens, where the model begins with a later block.
    """
    read = [(prompt + target)[len(prefix.ids) : -1] for prompt, target in rows]
    ids, mask = pad_left(read, llm.tokenizer.pad_token_id, llm.device)
    inputs = {"input_ids": ids}
    if entered is not None:
        padded = [F.pad(part, (0, 0, ids.shape[1] - len(part), 0)) for part in entered]
        inputs = {"inputs_embeds": torch.stack(padded)}
    length, longest = ids.shape[1], max(len(target) for _, target in rows)
    with _after(llm, prefix, len(read)) as (options, held):
        output = llm.model(
            **inputs,
            **options,
            attention_mask=torch.cat([mask.new_ones(len(read), held), mask], dim=1),
            position_ids=(mask.cumsum(dim=1) - 1).clamp_min(0) + prefix.length,
            # As indices: of a slice the head's matrix would be copied for each row.
            logits_to_keep=torch.arange(length - longest, length, device=llm.device),
        )
    # One index for all: the gradient of a slice is as large as the whole.
    lengths = [len(target) for _, target in rows]
    wanted = [row * longest + longest - n + i for row, n in enumerate(lengths) for i in range(n)]
    flat = output.logits.flatten(0, 1)[torch.tensor(wanted, device=llm.device)]
    return list(flat.float().split(lengths))


@contextmanager
def _after(
    llm: LocalModel, prefix: SharedPrefix, rows: int
) -> Iterator[tuple[dict[str, Any], int]]:
    """What a forward pass of rows after a prefix is given, and how many columns the mask has first.

    The prefix is held once and not in every row, where the model's attention can take it so.
    """
    if prefix.length and takes(llm.model):
        with beginning_apart(llm.model):
            yield {"use_cache": False, "beginning": prefix.cache.layers}, 0
    else:
        yield after_prefix(llm.model, prefix, rows), prefix.length


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


def loss_of(found: Sequence[Tensor], lessons: Sequence[Lesson], learnt: Learnt) -> Tensor:
    """The loss of lessons' logits [length of the target, vocabulary], in nats a token."""
    logits, total = torch.cat(list(found)), found[0].new_zeros(())
    if learnt != "answers":
        known = [lesson.teacher for lesson in lessons if lesson.teacher is not None]
        ids = torch.cat([each.ids for each in known])
        total = divergence(logits, Taught(ids, torch.cat([each.logprobs for each in known])))
    if learnt != "teacher":
        targets = [token for lesson in lessons for token in lesson.row.target]
        wanted = torch.tensor(targets, device=logits.device)
        total = total + F.cross_entropy(logits, wanted, reduction="sum")
    return total / len(logits)
