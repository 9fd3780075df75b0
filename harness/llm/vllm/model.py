"""Models that vLLM runs in this process: many prompts at once, their beginnings read once.

Speaks to vLLM's public offline interface (``LLM.generate``, Apache-2.0) and nothing below it but
``llm_engine.model_config.max_model_len``. Replies depend on their batch, as below float32 anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import CapabilityError
from harness.llm.adapters import adapter_fingerprint, adapter_folder
from harness.llm.backends import most, withheld
from harness.llm.base import LanguageModel
from harness.llm.identity import places
from harness.llm.loading import explained, load_tokenizer
from harness.llm.requests import (
    GenerateRequest,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
)
from harness.llm.runtime import Runtime
from harness.llm.style import prompt_style, settled, why_styled
from harness.llm.vllm.embedding import input_embedding
from harness.llm.vllm.opening import check_installed, open_engine
from harness.llm.vllm.replies import Written
from harness.prompts import Rendered

if TYPE_CHECKING:
    from harness.llm.keyvalues import KeyValues
    from harness.llm.model_config import ModelConfig

# vLLM answers a list as a whole; shorter lists lose less when a run is interrupted.
CHUNK = 256
_ACTUAL_TOKENS = 0
_EVERY_TOKEN = -1


class VLLMModel(LanguageModel):
    """A causal model run by vLLM in this process.

    Watched tokens are looked up among the probabilities of all tokens, which is slow and exact.
    Thoughts that are longer than their budget are ended by no force, so they leave no answer; a
    reply of one line is cut after it, but written on to the token limit. Sampled replies are drawn
    by vLLM from the request's seed.
    """

    goes_on = True

    def __init__(self, config: ModelConfig, path: str) -> None:
        from harness.llm.thinking import switch, thinking_of

        check_installed(config)
        config = settled(config)
        self.config, self.name, self.prompt_style = config, config.name, prompt_style(config)
        self.capabilities = most("vllm") - withheld(config)
        tokenizer = load_tokenizer(config, path)
        thinking = thinking_of(config, tokenizer)
        template = {**config.template, **switch(config, tokenizer)}
        self._path, self._engine = path, open_engine(config, path)
        self.runtime = Runtime.of_texts(self.name, tokenizer, thinking, template)
        self.window = config.window or int(self._engine.llm_engine.model_config.max_model_len)
        if thinking is not None and self.prompt_style == "chat":
            self.thinking_tokens = thinking.budget
        self._adapter = None if config.adapter is None else self._folder(config.adapter)
        self._numbers: dict[str, int] = {}
        """vLLM's own number of each adapter, by what it holds."""
        self._table: Any = None
        self._salts: Iterator[int] | None = None
        """While it is timed: what keeps one request's prompt from serving another."""

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Continue each prompt, in chunks of 256 requests."""
        for first in range(0, len(requests), CHUNK):
            chunk = requests[first : first + CHUNK]
            prompts, parameters = map(self._prompt, chunk), map(self._parameters, chunk)
            outputs = self._ask(list(prompts), list(parameters), chunk)
            for place, (request, output) in enumerate(zip(chunk, outputs, strict=True)):
                yield first + place, Written(self.runtime, request, output).reply()

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
        """Natural-log probability of each continuation, summed over its tokens."""
        for index, request in enumerate(requests):
            prompt, after = self.runtime.pairs(request.prompt, request.continuations)
            found = self._logprobs(prompt, after, request)
            counts = tuple(map(len, after))
            yield index, Scores(tuple(map(sum, found)), counts, len(prompt) * len(after))

    def next_token_probs(
        self, requests: Sequence[NextTokenRequest]
    ) -> Iterator[tuple[int, NextTokenProbs]]:
        """Probability of each string's first token."""
        from harness.llm.scoring import first_tokens

        for index, request in enumerate(requests):
            prompt, after = self.runtime.pairs(request.prompt, request.strings)
            firsts = first_tokens(self.name, request.strings, after)
            found = self._logprobs(prompt, [[token] for token in firsts.values()], request)
            probs = {text: exp(own) for text, (own,) in zip(firsts, found, strict=True)}
            yield index, NextTokenProbs(probs, len(prompt))

    def has_token(self, text: str) -> bool:
        """Whether the tokenizer holds ``text`` as one token."""
        return self.runtime.token_id(text) is not None

    def count_tokens(self, prompt: Rendered) -> int:
        """Tokens of a rendered prompt, special tokens included."""
        return len(self.runtime.encode(prompt))

    @property
    def turn_end(self) -> str:
        """The first token that the chat template puts after the model's own words."""
        return self.runtime.turn_end() if self.prompt_style == "chat" else ""

    def chosen_adapters(
        self, adapters: Sequence[Path], prefix: KeyValues | None = None
    ) -> tuple[Path, ...]:
        """The adapter of a request. Raises CapabilityError for more than one: vLLM adds none up."""
        chosen = super().chosen_adapters(adapters, prefix)
        if len(chosen) > 1 or (chosen and self._adapter is not None):
            raise CapabilityError(
                f"model '{self.name}': vLLM answers a request with one adapter, not "
                f"{len(chosen) + (self._adapter is not None)}; take the model as hf: or path:"
            )
        return chosen

    @contextmanager
    def adapted(self, folder: Path | None) -> Iterator[None]:
        """While open, the model with a method's LoRA adapter."""
        if folder is not None and "adapters" not in self.capabilities:
            raise CapabilityError(
                f"model '{self.name}' cannot take the method's adapter ('{folder}'); set "
                "max_lora_rank, and no adapter of its own"
            )
        before = self._adapter
        self._adapter = before if folder is None else self._folder(str(folder))
        try:
            yield
        finally:
            self._adapter = before

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """While open, no prompt is helped by what was read of another."""
        self._salts = count()
        try:
            yield
        finally:
            self._salts = None

    def provenance(self) -> dict[str, Any]:
        """vLLM's version and what decides its replies; its memory is another process's."""
        import vllm

        return {
            "vllm": vllm.__version__,
            "revision": self.config.revision,
            "dtype": self.config.dtype,
            "independent_of_batch": False,
            "trust_remote_code": self.config.trust_remote_code,
            **why_styled(self.config),
            **places(self.config),
        }

    def close(self) -> None:
        """Let go of the engine."""
        self._engine = None

    def _parameters(self, request: GenerateRequest) -> Any:
        from vllm import SamplingParams

        room = self.thoughts_before(request.prompt)
        sampled = {"seed": request.seed} if request.temperature > 0 else {}
        watched = {"logprobs": _EVERY_TOKEN} if request.watch else {}
        return SamplingParams(
            max_tokens=request.max_tokens + room,
            temperature=request.temperature,
            # What stops the answer must not stop the thoughts before it.
            stop=[] if room else list(request.stop),
            skip_special_tokens=not request.watch,
            **sampled,
            **watched,
        )

    def _prompt(self, request: GenerateRequest) -> dict[str, Any]:
        if request.prefix is not None:
            raise CapabilityError(f"model '{self.name}' takes no keys and values; give it the text")
        if not request.soft_prompts:
            return {"prompt_token_ids": self.runtime.encode(request.prompt)}
        if "soft-prompts" not in self.capabilities:
            raise CapabilityError(
                f"model '{self.name}' takes no soft prompts; set prompt_embeds: true in its entry"
            )
        from harness.llm.soft import woven

        self._table = self._table or input_embedding(self.config, self._path)
        parts = self.runtime.parts(request.prompt)
        return {"prompt_embeds": woven(self._table, parts, request.soft_prompts).detach()}

    def _logprobs(
        self,
        prompt: list[int],
        after: Sequence[list[int]],
        request: ScoreRequest | NextTokenRequest,
    ) -> list[list[float]]:
        """Of every token of each continuation; vLLM tells them of a prompt and writes one more."""
        from vllm import SamplingParams

        if request.prefix is not None:
            raise CapabilityError(f"model '{self.name}' takes no keys and values; give it the text")
        told = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=_ACTUAL_TOKENS)
        rows = [{"prompt_token_ids": prompt + own} for own in after]
        outputs = self._ask(rows, [told] * len(rows), [request] * len(rows))
        return [
            [
                float(step[token].logprob)
                for token, step in zip(own, output.prompt_logprobs[len(prompt) :], strict=True)
            ]
            for own, output in zip(after, outputs, strict=True)
        ]

    def _ask(
        self, prompts: list[dict[str, Any]], parameters: list[Any], requests: Sequence[Any]
    ) -> list[Any]:
        if self._salts is not None:
            prompts = [{**each, "cache_salt": f"timed {next(self._salts)}"} for each in prompts]
        loras = [self._lora(request.adapters) for request in requests]
        given: Mapping[str, Any] = {"lora_request": loras} if any(loras) else {}
        return list(self._engine.generate(prompts, parameters, use_tqdm=False, **given))

    def _folder(self, adapter: str) -> Path:
        with explained(self.config, "the adapter", adapter):
            return adapter_folder(adapter)

    def _lora(self, adapters: Sequence[Path]) -> Any:
        from vllm.lora.request import LoRARequest

        folder = adapters[0] if adapters else self._adapter
        if folder is None:
            return None
        content = adapter_fingerprint(folder)
        number = self._numbers.setdefault(content, len(self._numbers) + 1)
        return LoRARequest(content[:16], number, str(folder))
