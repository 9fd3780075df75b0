"""The LanguageModel contract that every backend fulfils and every method calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import CapabilityError, ConfigError, PromptTooLongError
from harness.llm.fitting import Fitted, shortened
from harness.llm.text import cut_after_line, cut_at_stop, first_line, first_stop
from harness.prompts import SOFT, Prompt, PromptStyle, Rendered

if TYPE_CHECKING:
    import torch

    from harness.llm.edit import Edit
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


class LanguageModel(ABC):
    """A model that methods call through the engine.

    The three calls take a list of requests and yield ``(index, result)`` in any order, as soon as
    each is known, so that finished answers are kept when a long batch is interrupted.
    """

    name: str
    capabilities: frozenset[Capability] = frozenset()
    trained_for: frozenset[str] = frozenset()
    """Methods whose authors fine-tuned this model."""
    prompt_style: PromptStyle = "completion"
    window: int | None = None
    """Prompt plus completion tokens; None when the backend does not say."""
    thinking_tokens: int = 0
    """Tokens that may be written before an answer, beside its own."""
    goes_on: bool = False
    """Whether it goes on with a reply that has begun, without thoughts, and not in another turn."""
    concurrency: int = 0
    """0: calls are sent in batches. n: up to n single calls run at once (remote servers)."""
    retries: int = 0
    """Requests sent again since the model was opened, because a server failed."""

    @abstractmethod
    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Continue each prompt."""

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
        """Log-probabilities of given continuations (capability ``logprobs``)."""
        raise CapabilityError(f"model '{self.name}' gives no log-probabilities")

    def next_token_probs(
        self, requests: Sequence[NextTokenRequest]
    ) -> Iterator[tuple[int, NextTokenProbs]]:
        """Probabilities of given next tokens (capability ``next-token-probs``)."""
        raise CapabilityError(f"model '{self.name}' gives no next-token probabilities")

    def read(self, *prompts: Rendered, after: KeyValues | None = None) -> KeyValues:
        """Keys and values of a prompt, or of what several begin with alike, to be read no more.

        Prompts that begin so are then generated from with ``prefix=``, and answered as without it
        (capability ``key-value-prompts``). ``after`` stands before them. Raises ConfigError for
        prompts that have no beginning in common.
        """
        raise CapabilityError(f"model '{self.name}' keeps no keys and values; give it the text")

    def has_token(self, text: str) -> bool:
        """Whether ``text`` is one token of the model's own."""
        return False

    def count_tokens(self, prompt: Rendered) -> int | None:
        """Tokens of a rendered prompt, special tokens included; None when unknown."""
        return None

    def thoughts_before(self, prompt: Prompt | Rendered) -> int:
        """Tokens of thoughts that may be written before the answer to a prompt."""
        if isinstance(prompt, Prompt):
            begun = bool(prompt.reply_so_far)
        else:
            begun = not isinstance(prompt, str) and prompt[-1].role == "assistant"
        return 0 if begun and self.goes_on else self.thinking_tokens

    @property
    def turn_end(self) -> str:
        """The token that ends the model's turn in a chat; empty where nobody knows it."""
        return ""

    def provenance(self) -> dict[str, Any]:
        """What a manifest records beside the config: revision, dtype, device, checksums."""
        return {}

    def release(self, question_id: str) -> None:
        """Forget what was kept for a question (``GenerateRequest.keep_for``): it is answered."""

    def adapted(self, folder: Path | None) -> AbstractContextManager[None]:
        """While open, the model with a method's LoRA adapter; None leaves it as it is."""
        if folder is None:
            return nullcontext()
        raise CapabilityError(
            f"model '{self.name}' cannot take the method's adapter ('{folder}'); only a local "
            "transformers model can"
        )

    def edited(self, edits: Mapping[str, Edit]) -> AbstractContextManager[None]:
        """While open, the model with edited weights; none leaves it as it is.

        Edits go by the names of parameters and modules (see ``harness.llm.changes``).
        """
        if not edits:
            return nullcontext()
        raise CapabilityError(
            f"model '{self.name}' takes no edits of its weights; only a local transformers model "
            "whose weights are not rounded does"
        )

    def close(self) -> None:
        """Release memory and connections; the model is not used afterwards."""

    def fit(self, prompt: Prompt, max_tokens: int, vectors: int = 0) -> Fitted:
        """Render ``prompt`` within the window, beside ``max_tokens`` new ones and soft ``vectors``.

        Passages are dropped from the end of the ranking; where none fits whole, the best one is
        cut (see ``harness.llm.fitting``). Raises PromptTooLongError if it does not fit with none
        left.
        """
        window = self.window - max_tokens - vectors if self.window else None
        room = min((most for most in (window, prompt.longest) if most is not None), default=None)
        rendered = prompt.render(self.prompt_style)
        tokens = None if room is None else self.count_tokens(rendered)
        if room is None or tokens is None or tokens <= room:
            return Fitted(rendered)

        def length(shorter: Prompt) -> int:
            return self.count_tokens(shorter.render(self.prompt_style)) or 0

        shorter, cut = shortened(prompt, lambda shorter: length(shorter) <= room)
        if not shorter.passages and (tokens := length(shorter)) > room:
            raise PromptTooLongError(self._too_long(tokens, room, max_tokens, vectors))
        dropped = len(prompt.passages) - len(shorter.passages)
        return Fitted(shorter.render(self.prompt_style), dropped, cut)

    def _too_long(self, tokens: int, room: int, max_tokens: int, vectors: int) -> str:
        beside = f"{vectors} vectors of memories and " if vectors else ""
        thinks = 0 < self.thinking_tokens < max_tokens
        thoughts = f" ({self.thinking_tokens} of them for thoughts)" if thinks else ""
        lower = "lower thinking_tokens, " if thinks else ""
        return (
            f"prompt of {tokens} tokens exceeds the {max(room, 0)} that '{self.name}' has room for "
            f"beside {beside}{max_tokens} new ones{thoughts} without any passage; {lower}shorten "
            "the question or use fewer demonstrations" + (" or memories" if vectors else "")
        )


def as_text(prompt: Rendered) -> str:
    """A rendered prompt as one readable string, for traces."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"<{m.role}>\n{m.content}" for m in prompt)
