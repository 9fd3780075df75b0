"""The LanguageModel contract that every backend fulfils and every method calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import CapabilityError, ConfigError, PromptTooLongError
from harness.llm.fitting import Fitted, shortened
from harness.llm.requests import (
    Capability,
    GenerateRequest,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
)
from harness.prompts import Prompt, PromptStyle, Rendered

if TYPE_CHECKING:
    from harness.llm.changes import Changes
    from harness.llm.edit import Edit
    from harness.llm.keyvalues import KeyValues


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

    def reply_key(self, request: GenerateRequest | ScoreRequest | NextTokenRequest) -> str | None:
        """A hash of all that decides the reply to a request; None where nobody can tell that."""
        return None

    def share_replies(self, folder: Path) -> None:
        """Ask nothing that another process of the folder has had answered, if that is the same."""

    def streaming(self) -> AbstractContextManager[None]:
        """While open, a model that must be asked to tells when a reply's first token was there."""
        return nullcontext()

    @property
    def streamed(self) -> str:
        """Which replies came as streams while it was last ``streaming``; empty: none was asked."""
        return ""

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

    @contextmanager
    def changed(self, changes: Changes) -> Iterator[None]:
        """While open, the model as a memory changes it; then again what it was, bit by bit."""
        with ExitStack() as stack:
            if changes.adapter is not None:
                stack.enter_context(self.adapted(changes.adapter))
            if changes.edits:
                stack.enter_context(self.edited(changes.edits))
            yield

    def chosen_adapters(
        self, adapters: Sequence[Path], prefix: KeyValues | None = None
    ) -> tuple[Path, ...]:
        """The adapters of a request, each once, in an order that does not depend on the one given.

        Raises CapabilityError if the model takes none, ConfigError beside a prefix of text.
        """
        if adapters and "adapters" not in self.capabilities:
            raise CapabilityError(
                f"model '{self.name}' takes no adapters with a request; only a local transformers "
                "model without an adapter of its own does"
            )
        if adapters and prefix is not None and prefix.ids:
            raise ConfigError(
                "adapters and a prefix of text in one call: the text was read without the "
                "adapters, so the reply would not be that to the text; leave out one of them"
            )
        return tuple(sorted(set(adapters)))

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
