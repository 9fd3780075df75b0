"""Keys and values of what many prompts begin with, read once.

Few-shot prompts share their instruction and demonstrations. The prefix is found anew in every call
and nothing is kept between calls, so single queries are timed in full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.llm.batches import common_prefix

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

MIN_LENGTH = 32


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """Token ids that begin every prompt of a call, and their keys and values."""

    ids: tuple[int, ...] = ()
    cache: Any = None

    @property
    def length(self) -> int:
        """Tokens in the prefix; 0 when it is not worth sharing."""
        return len(self.ids)

    @classmethod
    def of(cls, llm: LocalModel, prompts: Sequence[list[int]]) -> SharedPrefix:
        """Read what two or more prompts have in common."""
        import torch

        length = common_prefix(prompts) if len(prompts) > 1 else 0
        if length < MIN_LENGTH:
            return NO_PREFIX
        ids = tuple(prompts[0][:length])
        with torch.inference_mode():
            output = llm.model(
                torch.tensor([ids], device=llm.device), use_cache=True, logits_to_keep=1
            )
        cache = output.past_key_values
        return cls(ids, cache) if _takes_gaps(cache) else NO_PREFIX


def _takes_gaps(cache: Any) -> bool:
    """Whether padding may follow the prefix: not with sliding windows or recurrent states."""
    from transformers.cache_utils import DynamicLayer

    return all(type(layer) is DynamicLayer for layer in getattr(cache, "layers", [None]))


NO_PREFIX = SharedPrefix()
