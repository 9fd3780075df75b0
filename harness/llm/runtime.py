"""A loaded model with its tokenizer and its device: what reading, writing and scoring work on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from harness.errors import ConfigError
from harness.llm.batches import length_sorted_batches
from harness.llm.device_memory import NO_LIMIT, Shape, fitting, free_bytes
from harness.llm.encoding import Encoder
from harness.llm.halving import Limit
from harness.llm.prefix import KeptPrompts
from harness.llm.requests import as_text
from harness.llm.template import REPLY, after_prompt, render_chat
from harness.llm.thoughts import without_thoughts
from harness.prompts import SOFT, Message, Rendered, without_places

if TYPE_CHECKING:
    import torch

    from harness.llm.thinking import Thinking

CPU_BATCH, GPU_BATCH = 16, 64
# On a CPU the caches, not the cores, bound a batch: SmolLM2-135M on 2 cores read prompts of 780
# tokens at 0.71 a second alone, 0.57 in fours and 0.32 in sixteens. So prompts are read in small
# batches and written on in larger ones (kvcache.py), as many as memory may hold.
# On a GPU both are the most: less where the device has no room for it (device_memory.py).
CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 1024, 65_536
CPU_HELD_TOKENS = 16_384
CPU_KEPT_TOKENS = 49_152


@dataclass(slots=True)
class Replays:
    """Answers decided again alone because two tokens were nearly tied (see generation.py)."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class Runtime:
    """A model as it is loaded, its tokenizer, and how much goes through it at once."""

    name: str
    model: Any
    encoder: Encoder
    device: torch.device
    exact: bool
    """Whether no answer depends on its batch; below fp32, rounding is too coarse for that."""
    start: int
    """What an empty prompt becomes: a model must read something before it can write."""
    batch_size: int
    batch_tokens: int
    """Padded tokens that are read at once."""
    held_tokens: int
    """Padded tokens of the prompts that are written on at once."""
    batch_pairs: int
    """Pairs of tokens of a prompt, over all prompts that are read at once."""
    kept: KeptPrompts | None
    """Prompts of questions under way; on a GPU, reading them in batches is worth more."""
    thinking: Thinking | None = None
    """How it thinks before it answers in a chat."""
    template: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the chat template."""
    replays: Replays = field(default_factory=Replays)
    fitted: dict[tuple[str, int], int] = field(default_factory=dict)
    """Rows that fitted where more did not (see ``Limit``)."""

    @classmethod
    def of(
        cls,
        name: str,
        model: Any,
        tokenizer: Any,
        device: torch.device,
        batch_size: int | None = None,
        thinking: Thinking | None = None,
        template: Mapping[str, Any] | None = None,
    ) -> Self:
        """The runtime of a model on its device; ``batch_size`` None takes the device's own."""
        import torch

        on_cpu = device.type == "cpu"
        quantised = getattr(model, "hf_quantizer", None) is not None
        gpu_tokens, pairs = _fitting(model, device)
        return cls(
            name=name,
            model=model,
            encoder=Encoder.of(tokenizer),
            device=device,
            exact=model.dtype == torch.float32 and not quantised,
            start=_start(tokenizer),
            batch_size=batch_size or (CPU_BATCH if on_cpu else GPU_BATCH),
            batch_tokens=CPU_BATCH_TOKENS if on_cpu else gpu_tokens,
            held_tokens=CPU_HELD_TOKENS if on_cpu else gpu_tokens,
            batch_pairs=pairs,
            kept=KeptPrompts(CPU_KEPT_TOKENS) if on_cpu else None,
            thinking=thinking,
            template=template or {},
        )

    @classmethod
    def of_texts(
        cls, name: str, tokenizer: Any, thinking: Thinking | None, template: Mapping[str, Any]
    ) -> Self:
        """The runtime of a model whose weights another engine holds: for its prompts alone."""
        import torch

        return cls(
            name=name,
            model=None,
            encoder=Encoder.of(tokenizer),
            device=torch.device("cpu"),
            exact=False,
            start=_start(tokenizer),
            batch_size=1,
            batch_tokens=1,
            held_tokens=1,
            batch_pairs=1,
            kept=None,
            thinking=thinking,
            template=template,
        )

    def encode(self, prompt: Rendered, *, thoughts: bool = True) -> list[int]:
        """Token ids of a rendered prompt: special tokens as the model expects them.

        Without ``thoughts``, an answer is to come next: a chat ends with thoughts that are over.
        """
        parts = self.parts(prompt, thoughts=thoughts)
        ids = [token for part in parts for token in part]
        return ids or ([] if len(parts) > 1 else [self.start])

    def pairs(
        self, prompt: Rendered, continuations: Sequence[str]
    ) -> tuple[list[int], list[list[int]]]:
        """Ids of a prompt whose thoughts are over and of each continuation (see encoding.py).

        A reply in a chat follows as the template writes replies, after a space in Mistral's.
        """
        text, whole = self._text(prompt, thoughts=False)
        if not isinstance(prompt, str) and prompt[-1].role != "assistant":
            replied = self._replied(prompt)
            continuations = [after_prompt(text, replied, c) for c in continuations]
        ids, after = self.encoder.pairs(without_places(text), continuations, whole=whole)
        return ids or [self.start], after

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self.encoder.tokenizer

    @property
    def begins(self) -> tuple[int, ...]:
        """Token ids that the tokenizer puts before every text."""
        return self.encoder.begins

    def turn_end(self) -> str:
        """The token that the chat template puts first after a reply; empty if it puts nothing."""
        turns = Message("user", "ask"), Message("assistant", REPLY)
        text = render_chat(self.name, self.tokenizer, turns, self.template, replied=True)
        before, _, after = text.rpartition(REPLY)
        if not after:
            return ""
        _, (rest,) = self.encoder.pairs(before + REPLY, [after], whole=False)
        return str(self.tokenizer.decode(rest[:1]))

    def parts(self, prompt: Rendered, *, thoughts: bool = True) -> list[list[int]]:
        """Token ids before, between and after a prompt's places of soft segments (``SOFT``).

        Each part is encoded by itself: no token spans a place. What the tokenizer puts before a
        text stands before all; a model that was trained to begin with <s> attends to it wherever
        it has nothing better to look at, so no segment may take its place. Raises ConfigError for
        a chat template that leaves a place out or repeats it.
        """
        text, whole = self._text(prompt, thoughts=thoughts)
        first, *rest = text.split(SOFT)
        if len(rest) != (places := as_text(prompt).count(SOFT)):
            raise ConfigError(
                f"model '{self.name}': its chat template leaves {len(rest)} of {places} places for "
                "soft prompts; set prompt_style: completion"
            )
        if not rest:
            return [self.encoder.ids(text, whole=whole)]
        before = list(self.begins) if whole else []
        alone = [self.encoder.ids(part, whole=False) for part in (first, *rest)]
        return [before + alone[0], *alone[1:]]

    def token_id(self, text: str) -> int | None:
        """The id of ``text`` if it is one token, as spelt in the vocabulary or within a text."""
        return self.encoder.token_id(text)

    def batches(
        self, indices: Iterable[int], prompts: Sequence[Sequence[int]]
    ) -> Iterator[list[int]]:
        """Length-sorted batches that suit the device."""
        return length_sorted_batches(
            indices, prompts, self.batch_size, self.batch_tokens, self.batch_pairs
        )

    def limit(self, kind: str, lengths: Iterable[int]) -> Limit:
        """How many rows of these lengths a kind of call tries at once."""
        return Limit(kind, max(lengths), f"model '{self.name}'", self.fitted)

    def _text(self, prompt: Rendered, *, thoughts: bool) -> tuple[str, bool]:
        """A prompt as text, and whether the tokenizer is to put its special tokens before it."""
        if isinstance(prompt, str):
            return prompt, True
        # The template itself writes the special tokens, <s> among them.
        *asked, last = prompt
        begun = last.content if last.role == "assistant" else ""
        # An answer that has begun comes after thoughts.
        thoughts = thoughts and not begun
        return self._chat(asked if begun else prompt, thoughts=thoughts) + begun, False

    def _replied(self, messages: Sequence[Message]) -> str:
        turns = (*messages, Message("assistant", REPLY))
        try:
            return render_chat(self.name, self.tokenizer, turns, self.template, replied=True)
        except ConfigError:  # a template that writes no replies
            return ""

    def _chat(self, messages: Sequence[Message], *, thoughts: bool) -> str:
        quiet = self.thinking.quiet if self.thinking and not thoughts else {}
        text = render_chat(self.name, self.tokenizer, messages, {**self.template, **quiet})
        return text if thoughts else without_thoughts(text)


def _start(tokenizer: Any) -> int:
    starts = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return next((token for token in starts if token is not None), 0)


def _fitting(model: Any, device: torch.device) -> tuple[int, int]:
    """Padded tokens and pairs of them that fit on a device that tells what is free, once."""
    free, shape = free_bytes(device), Shape.of(model)
    if free is None or shape is None:
        return GPU_BATCH_TOKENS, NO_LIMIT
    return fitting(free, shape, GPU_BATCH_TOKENS)
