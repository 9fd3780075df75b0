"""Keys and values of what prompts begin with, read once.

Few-shot prompts share their instruction and demonstrations; that prefix is found anew in every
call. The steps of one question may begin alike too: what a method asks to keep is kept until its
question is answered and never serves another one, so single queries are timed in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.llm.batches import common_prefix

if TYPE_CHECKING:
    import torch

MIN_LENGTH = 32


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """Token ids that begin every prompt of a call, and their keys and values."""

    ids: tuple[int, ...] = ()
    cache: Any = None
    trained: int = 0
    """Positions before the tokens that were trained and are of no token."""

    @property
    def length(self) -> int:
        """Positions of the prefix; 0 when it is not worth sharing."""
        return self.trained + len(self.ids)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's keys and values, both [1, heads, length, size]."""

    keys: torch.Tensor
    values: torch.Tensor

    def first(self, length: int) -> Layer:
        """The first ``length`` positions, not copied."""
        return Layer(self.keys[:, :, :length], self.values[:, :, :length])


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of a prompt that was read."""

    layers: tuple[Layer, ...]


class KeptPrompts:
    """The prompt last read for each question, ``most`` tokens in all.

    When there is no room nothing is kept, rather than dropping what another question waits for.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._held: dict[str, SharedPrefix] = {}

    def prefix(self, question_id: str, prompt: list[int]) -> SharedPrefix:
        """What the prompt has in common with the one kept for its question."""
        held = self._held.get(question_id)
        length = shared_length([list(held.ids), prompt]) if held else 0
        if held is None or not length:
            return NO_PREFIX
        layers = tuple(layer.first(length) for layer in held.cache.layers)
        return SharedPrefix(held.ids[:length], Layers(layers))

    def has_room(self, question_id: str, tokens: int) -> bool:
        """Whether a prompt of so many tokens may be kept in the place of the question's last."""
        others = (len(p.ids) for owner, p in self._held.items() if owner != question_id)
        return tokens + sum(others) <= self.most

    def keep(self, question_id: str, prompt: Sequence[int], layers: Sequence[Layer]) -> None:
        """Keep a prompt in the place of the question's last one."""
        self._held[question_id] = SharedPrefix(tuple(prompt), Layers(tuple(layers)))

    def release(self, question_id: str) -> None:
        """Forget the question's prompt."""
        self._held.pop(question_id, None)


def shared_length(prompts: Sequence[list[int]]) -> int:
    """Tokens that two or more prompts begin with; 0 when too few to be worth sharing."""
    length = common_prefix(prompts) if len(prompts) > 1 else 0
    return length if length >= MIN_LENGTH else 0


def takes_gaps(cache: Any) -> bool:
    """Whether padding may follow the prefix: not with sliding windows or recurrent states."""
    from transformers.cache_utils import DynamicLayer

    return all(type(layer) is DynamicLayer for layer in getattr(cache, "layers", [None]))


NO_PREFIX = SharedPrefix()
