"""Requests to a language model and its replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import ConfigError
from harness.llm.text import cut_after_line, cut_at_stop, first_line, first_stop
from harness.prompts import SOFT, Rendered

if TYPE_CHECKING:
    import torch

    from harness.llm.keyvalues import KeyValues

Capability = Literal[
    "next-token-probs", "logprobs", "soft-prompts", "key-value-prompts", "hidden-states",
    "training", "adapters", "weights",
]  # fmt: skip
"""What not every model offers. ``logprobs`` are those of given text and of generated tokens; a
model that has them has ``next-token-probs``, too. ``adapters``: it takes LoRAs of a memory, for a
run or for a request; ``weights``: its weights can be edited (see ``harness.llm.changes``)."""


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Continue a prompt. ``temperature`` 0 is greedy; above, ``seed`` alone fixes the draw.

    ``soft_prompts``: embeddings [length, hidden] that stand where the prompt's text holds ``SOFT``,
    one for each place (capability ``soft-prompts``). ``watch``: tokens whose probabilities are
    wanted at every step (capability ``logprobs``); special tokens then stay in the text.
    """

    prompt: Rendered
    max_tokens: int = 32
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int = 0
    soft_prompts: tuple[torch.Tensor, ...] = field(default=(), compare=False)
    watch: tuple[str, ...] = ()
    keep_for: str | None = None
    """Id of a question whose later prompts begin like this one; changes no reply."""
    one_line: bool = False
    """Cut the reply after its first line that is not empty, and write no further if possible."""
    adapters: tuple[Path, ...] = ()
    """Folders of LoRAs whose sum the model has for this request (capability ``adapters``)."""
    prefix: KeyValues | None = field(default=None, compare=False)
    """What stands before the prompt or was read of it (capability ``key-value-prompts``)."""

    def __post_init__(self) -> None:
        places = as_text(self.prompt).count(SOFT)
        if self.soft_prompts and places != len(self.soft_prompts):
            raise ConfigError(
                f"the prompt has {places} places for {len(self.soft_prompts)} soft prompts; put "
                "harness.prompts.SOFT once where each is to stand (at the start of a completion, "
                "in a turn of the user in a chat)"
            )

    @property
    def vectors(self) -> int:
        """Vectors of all soft prompts; each takes the room of a token."""
        return sum(map(len, self.soft_prompts))

    def stopped_by(self, text: str) -> str:
        """The stop string that ends a reply of this text; empty if none does."""
        stop = first_stop(text, self.stop)
        return stop if text.startswith(self.cut(text) + stop) else ""

    def cut(self, text: str) -> str:
        """A reply's text without what was not asked for."""
        text = cut_at_stop(text, self.stop)
        return cut_after_line(text) if self.one_line else text


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One generated token: its text, natural-log probability, and those of the watched tokens."""

    text: str
    logprob: float
    probs: Mapping[str, float]
    """Probability (0 to 1) that each watched token had at this step."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Generated text, cut before the first stop string. Token counts as the model counts them.

    A count is None where nobody counted. ``completion_tokens`` are those of thoughts and text,
    ``prompt_tokens`` those that were read, which leaves out what the request's prefix holds.
    """

    text: str
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    choices: tuple[TokenChoice, ...] = ()
    """Every generated token of the text, if tokens were watched."""
    thoughts: str = ""
    """What a reasoning model wrote before its answer; no part of the text."""
    cut_off: bool = False
    """Whether the token limit ended the reply, not the model and no stop string."""
    stop: str | None = field(default=None, compare=False)
    """The stop string that ended the text, empty if none did; None where nobody told."""
    first_token: float | None = field(default=None, compare=False)
    """When the first token of the text was there, on ``perf_counter``; None where nobody told."""
    prefix_tokens: int = 0
    """Positions before the prompt's tokens that were read: those of the request's prefix."""

    @property
    def first_line(self) -> str:
        """The first non-empty line, stripped."""
        return first_line(self.text)


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Ask for the log-probability of each continuation after the prompt."""

    prompt: Rendered
    continuations: tuple[str, ...]
    adapters: tuple[Path, ...] = ()
    prefix: KeyValues | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Scores:
    """Natural-log probability of each continuation (summed over its tokens) and its length."""

    logprobs: tuple[float, ...]
    token_counts: tuple[int, ...]
    prompt_tokens: int | None = 0
    prefix_tokens: int = 0


@dataclass(frozen=True, slots=True)
class NextTokenRequest:
    """Ask for the probability that each string's first token comes next."""

    prompt: Rendered
    strings: tuple[str, ...]
    adapters: tuple[Path, ...] = ()
    prefix: KeyValues | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class NextTokenProbs:
    """Probability (0 to 1) of each string's first token."""

    probs: Mapping[str, float]
    prompt_tokens: int | None = 0
    prefix_tokens: int = 0


def as_text(prompt: Rendered) -> str:
    """A rendered prompt as one readable string, for traces."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"<{m.role}>\n{m.content}" for m in prompt)
