"""A stand-in of vLLM's public offline interface over transformers, row by row.

Names, arguments and fields are those of vLLM 0.11 (``vllm.LLM``, ``SamplingParams``,
``LoRARequest``, ``RequestOutput``, ``CompletionOutput``, ``Logprob``); what it does not know it
refuses. The model is real: every token is the arg-max of a whole forward pass.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch


@dataclass
class SamplingParams:
    temperature: float = 1.0
    seed: int | None = None
    stop: list[str] | None = None
    max_tokens: int | None = 16
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    skip_special_tokens: bool = True


@dataclass
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    prompt_logprobs: list[dict[int, Logprob] | None] | None
    outputs: list[CompletionOutput]
    finished: bool = True


@dataclass
class LLM:
    """``vllm.LLM``; ``asked`` holds the prompts and adapters that it was given."""

    model: str
    tokenizer: str | None = None
    revision: str | None = None
    tokenizer_revision: str | None = None
    dtype: str = "auto"
    quantization: str | None = None
    max_model_len: int | None = None
    gpu_memory_utilization: float = 0.9
    trust_remote_code: bool = False
    seed: int | None = None
    max_logprobs: int = 20
    enable_lora: bool = False
    max_lora_rank: int = 16
    enable_prompt_embeds: bool = False
    enable_prefix_caching: bool | None = None
    asked: list[tuple[dict[str, Any], SamplingParams, LoRARequest | None]] = field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._models = {0: AutoModelForCausalLM.from_pretrained(self.model, dtype=torch.float32)}
        self._tokenizer = AutoTokenizer.from_pretrained(self.tokenizer or self.model)
        longest = self.max_model_len or self._models[0].config.max_position_embeddings
        model_config = SimpleNamespace(max_model_len=longest)
        self.llm_engine = SimpleNamespace(model_config=model_config)

    def generate(
        self,
        prompts: list[dict[str, Any]],
        sampling_params: list[SamplingParams],
        *,
        use_tqdm: bool = True,
        lora_request: list[LoRARequest | None] | None = None,
    ) -> list[RequestOutput]:
        loras = lora_request or [None] * len(prompts)
        rows = list(zip(prompts, sampling_params, loras, strict=True))
        self.asked += rows
        return [self._answer(str(n), *row) for n, row in enumerate(rows)]

    def _answer(
        self, name: str, prompt: dict[str, Any], params: SamplingParams, lora: LoRARequest | None
    ) -> RequestOutput:
        assert prompt.keys() <= {"prompt_token_ids", "prompt_embeds", "cache_salt"}
        assert (params.logprobs or 0) <= self.max_logprobs or self.max_logprobs == -1
        assert params.temperature == 0 or params.seed is not None
        model, ids = self._with(lora), prompt.get("prompt_token_ids")
        if ids is None:
            assert self.enable_prompt_embeds and params.prompt_logprobs is None
            embeds = prompt["prompt_embeds"]
        else:
            embeds = model.get_input_embeddings()(torch.tensor(ids))
        assert len(embeds) + (params.max_tokens or 0) <= self.llm_engine.model_config.max_model_len
        told = None
        if params.prompt_logprobs is not None:
            steps = self._logits(model, embeds).log_softmax(-1)
            told = [
                None,
                *({t: Logprob(float(s[t]))} for t, s in zip(ids[1:], steps, strict=False)),
            ]
        written = self._write(model, embeds, params)
        return RequestOutput(name, None, ids, told, [written])

    def _write(self, model: Any, embeds: torch.Tensor, params: SamplingParams) -> CompletionOutput:
        tokens, logprobs, reason, stopped = [], [], "length", None
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        draw = torch.Generator().manual_seed(params.seed or 0)
        while len(tokens) < params.max_tokens:
            logits = self._logits(model, embeds)[-1]
            step = logits.log_softmax(-1)
            token = int(step.argmax())
            if params.temperature > 0:
                shares = (logits / params.temperature).softmax(-1)
                token = int(torch.multinomial(shares, 1, generator=draw))
            tokens.append(token)
            logprobs.append({t: Logprob(v) for t, v in enumerate(step.tolist())})
            text = self._tokenizer.decode(tokens, skip_special_tokens=params.skip_special_tokens)
            stopped = next((stop for stop in params.stop or () if stop in text), None)
            if token in ends or stopped is not None:
                reason = "stop"
                break
            embeds = torch.cat([embeds, model.get_input_embeddings()(torch.tensor([token]))])
        text = text.partition(stopped)[0] if stopped else text
        kept = None if params.logprobs is None else logprobs
        return CompletionOutput(0, text, tokens, None, kept, reason, stopped)

    @torch.no_grad()
    def _logits(self, model: Any, embeds: torch.Tensor) -> torch.Tensor:
        return model(inputs_embeds=embeds[None]).logits[0].float()

    def _with(self, lora: LoRARequest | None) -> Any:
        if lora is None:
            return self._models[0]
        assert self.enable_lora
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        if lora.lora_int_id not in self._models:
            plain = AutoModelForCausalLM.from_pretrained(self.model, dtype=torch.float32)
            self._models[lora.lora_int_id] = PeftModel.from_pretrained(plain, lora.lora_path)
        return self._models[lora.lora_int_id]


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``import vllm`` find it."""
    names: dict[str, dict[str, Any]] = {
        "vllm": {"LLM": LLM, "SamplingParams": SamplingParams, "__version__": "0.11.0"},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
    }
    for name, values in names.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
