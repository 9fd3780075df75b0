"""Local transformers models: fp32, bf16, NF4, int8, peft adapters, soft prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from harness.errors import ConfigError
from harness.llm.adapters import adapted, adapter_fingerprint, with_adapter
from harness.llm.backends import withheld
from harness.llm.base import LanguageModel
from harness.llm.chosen_adapters import ChosenAdapters, R, Result, Work
from harness.llm.identity import places
from harness.llm.loading import commit, load_model, load_tokenizer
from harness.llm.once import once
from harness.llm.requests import (
    Capability,
    GenerateRequest,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
)
from harness.llm.runtime import Runtime
from harness.llm.shared_replies import SharedReplies
from harness.llm.style import prompt_style, settled, why_styled
from harness.prompts import Prompt, Rendered

if TYPE_CHECKING:
    import torch

    from harness.llm.edit import Edit
    from harness.llm.keyvalues import KeyValues
    from harness.llm.model_config import ModelConfig


class LocalModel(LanguageModel):
    """A causal model run by transformers in this process."""

    capabilities: frozenset[Capability] = frozenset(get_args(Capability))
    goes_on = True

    def __init__(
        self,
        config: ModelConfig,
        path: str,
        *,
        batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        from harness.llm.kvcache import plain_layers
        from harness.llm.thinking import switch, thinking_of

        config = settled(config)
        place = _place(device)
        self.name, self.prompt_style = config.name, prompt_style(config)
        self.config = config.on(place.type)
        self.capabilities = self.capabilities - withheld(config)
        self.chosen = ChosenAdapters()
        tokenizer = load_tokenizer(self.config, path)
        thinking, switched = thinking_of(self.config, tokenizer), switch(self.config, tokenizer)
        if both := switched.keys() & config.template.keys():
            raise ConfigError(
                f"model '{config.name}': thinking and template both set '{min(both)}'; leave it "
                "out of one of them"
            )
        template = {**config.template, **switched}
        model = load_model(self.config, path, place)
        if config.adapter is not None:
            model = with_adapter(config, config.adapter, model)
        self.runtime = Runtime.of(
            self.name, model, tokenizer, place, batch_size, thinking=thinking, template=template
        )
        """The model as it answers now: with a method's adapter while one is open."""
        if not plain_layers(model.config):
            self.capabilities -= {"key-value-prompts"}
        self.revision = commit(path, config.revision)
        self.window = config.window or getattr(model.config, "max_position_embeddings", None)
        if thinking is not None and self.prompt_style == "chat":
            self.thinking_tokens = thinking.room
        self._shared: SharedReplies | None = None
        self._changes: tuple[Callable[[], str | None], ...] = ()
        """What gives hashes of what its weights are changed by now."""
        self._state: Mapping[str, Any] | None = {}
        """What of it decides replies: None where nobody can tell, empty until somebody asks."""

    @property
    def model(self) -> Any:
        """The transformers model, in evaluation mode and frozen."""
        return self.runtime.model

    @property
    def tokenizer(self) -> Any:
        """Its transformers tokenizer."""
        return self.runtime.tokenizer

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.runtime.device

    @property
    def begins(self) -> tuple[int, ...]:
        """Token ids that the tokenizer puts before every text."""
        return self.runtime.begins

    def encode(self, prompt: Rendered) -> list[int]:
        """Token ids of a rendered prompt: special tokens as the model expects them."""
        return self.runtime.encode(prompt)

    def pairs(
        self, prompt: Rendered, continuations: Sequence[str]
    ) -> tuple[list[int], list[list[int]]]:
        """Token ids of a rendered prompt and of each continuation, encoded together."""
        return self.runtime.pairs(prompt, continuations)

    def parts(self, prompt: Prompt) -> list[list[int]]:
        """A prompt's ids in the model's style, parted where it has places for soft segments.

        What is trained or scored after them is an answer, so a chat's thoughts are over.
        """
        return self.runtime.parts(prompt.render(self.prompt_style), thoughts=False)

    def batches(
        self, indices: Iterable[int], prompts: Sequence[Sequence[int]]
    ) -> Iterator[list[int]]:
        """Length-sorted batches that suit the device."""
        return self.runtime.batches(indices, prompts)

    def has_token(self, text: str) -> bool:
        """Whether the tokenizer holds ``text`` as one token."""
        return self.runtime.token_id(text) is not None

    @property
    def turn_end(self) -> str:
        """The first token that the chat template puts after the model's own words."""
        return self.runtime.turn_end() if self.prompt_style == "chat" else ""

    def count_tokens(self, prompt: Rendered) -> int:
        """Tokens of a rendered prompt, special tokens included."""
        return len(self.encode(prompt))

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Continue each prompt; length-sorted batches, longest first."""
        from harness.llm.generation import generate_all

        generate = partial(once, work=self._by(generate_all))
        if self._shared is None:
            yield from generate(requests)
        else:
            yield from self._shared.complete(requests, generate)

    def share_replies(self, folder: Path) -> None:
        """Share them through a folder, unless they depend on their batch."""
        if self.runtime.exact:
            self._shared = SharedReplies(folder)

    def reply_key(self, request: GenerateRequest | ScoreRequest | NextTokenRequest) -> str | None:
        """A hash of weights, libraries, token ids and all else; None if the batch matters, too."""
        from harness.llm.reply_keys import key_of
        from harness.llm.reply_state import state_of

        if self._state == {}:
            self._state = state_of(self.config, self.runtime, self.revision, self._changes)
        if self._state is None:
            return None
        if isinstance(request, GenerateRequest):
            return key_of(request, self._state, self.runtime.parts(request.prompt))
        texts = request.continuations if isinstance(request, ScoreRequest) else request.strings
        return key_of(request, self._state, self.runtime.pairs(request.prompt, texts))

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
        """Natural-log probability of each continuation, summed over its tokens."""
        from harness.llm.scoring import score_all

        yield from once(requests, self._by(score_all))

    def next_token_probs(
        self, requests: Sequence[NextTokenRequest]
    ) -> Iterator[tuple[int, NextTokenProbs]]:
        """Probability of each string's first token, from one forward pass."""
        from harness.llm.scoring import next_token_all

        yield from once(requests, self._by(next_token_all))

    def _by(self, work: Work[R, Result]) -> Callable[[Sequence[R]], Iterator[tuple[int, Result]]]:
        """``work`` with the model as it answers now and the adapters that requests choose."""
        return partial(self.chosen.answer, self.runtime, work=work)

    def read(self, *prompts: Rendered, after: KeyValues | None = None) -> KeyValues:
        """Keys and values of a prompt, or of what several begin with alike."""
        from harness.llm.reading import read

        return read(self.runtime, prompts, after)

    def read_again(self, prefix: KeyValues) -> KeyValues:
        """The same keys and values, read anew."""
        from harness.llm.reading import read_tokens

        return read_tokens(self.runtime, prefix.ids, prefix.text, prefix.without_text())

    def release(self, question_id: str) -> None:
        """Forget what was kept of a question's prompts."""
        if self.runtime.kept is not None:
            self.runtime.kept.release(question_id)

    @contextmanager
    def adapted(self, folder: Path | None) -> Iterator[None]:
        """While open, the model with a method's adapter (merged unless the weights are rounded)."""
        if folder is None:
            yield
        else:
            with self._as(
                adapted(self.runtime, self.config, folder), partial(adapter_fingerprint, folder)
            ):
                yield

    @contextmanager
    def edited(self, edits: Mapping[str, Edit]) -> Iterator[None]:
        """While open, the model with edited weights."""
        from harness.llm.edits import edited
        from harness.llm.reply_state import edits_digest

        if not edits:
            yield
        else:
            with self._as(edited(self.runtime, edits), partial(edits_digest, edits)):
                yield

    @contextmanager
    def _as(
        self, change: AbstractContextManager[Runtime], digest: Callable[[], str | None]
    ) -> Iterator[None]:
        plain = self.runtime, self._shared, self._changes, self._state
        with change as changed:
            # Replies of another model are nobody's to share.
            self.runtime, self._shared, self._state = changed, None, {}
            self._changes = (*self._changes, digest)
            try:
                yield
            finally:
                self.runtime, self._shared, self._changes, self._state = plain

    def provenance(self) -> dict[str, Any]:
        """Resolved revision, dtype, device, attention kernel, size and where local files lay."""
        return {
            "revision": self.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "independent_of_batch": self.runtime.exact,
            "device": str(self.device),
            "attention": self.model.config._attn_implementation,
            "parameters": self.model.num_parameters(),
            "trust_remote_code": self.config.trust_remote_code,
            **why_styled(self.config),
            **places(self.config),
        }

    def close(self) -> None:
        """Release the weights."""
        import torch

        on_gpu = self.device.type == "cuda"
        del self.runtime
        if on_gpu:
            torch.cuda.empty_cache()


def _place(device: str | None) -> torch.device:
    """The device of this name; None chooses one. Raises ConfigError for one that is not there."""
    import torch

    has_gpu = torch.cuda.is_available()
    try:
        place = torch.device(device or ("cuda" if has_gpu else "cpu"))
    except RuntimeError as error:
        raise ConfigError(f"unknown device '{device}'; such as cpu, cuda or cuda:1") from error
    if place.type == "cuda" and not has_gpu:
        raise ConfigError(
            f"device '{device}': torch finds no GPU ('memory-harness doctor' lists what there is); "
            "leave the device out, or use cpu"
        )
    return place
