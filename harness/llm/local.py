"""Local transformers models: fp32, bf16, NF4, int8, peft adapters, soft prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, InputError
from harness.llm.base import (
    Capability,
    GenerateRequest,
    LanguageModel,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
)
from harness.llm.batches import length_sorted_batches
from harness.prompts import Rendered

if TYPE_CHECKING:
    import torch

    from harness.llm.catalogue import ModelConfig

CPU_BATCH, GPU_BATCH = 16, 64
# On a CPU the caches, not the cores, bound a batch: SmolLM2-135M on 2 cores read prompts of 780
# tokens at 0.71 a second alone, 0.57 in fours and 0.32 in sixteens.
CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 1024, 65_536


class LocalModel(LanguageModel):
    """A causal model run by transformers in this process."""

    capabilities: frozenset[Capability] = frozenset(
        {"logprobs", "soft-prompts", "hidden-states", "training"}
    )

    def __init__(
        self,
        config: ModelConfig,
        path: str,
        *,
        batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        import torch

        self.name, self.prompt_style = config.name, config.prompt_style
        self.config = config
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        on_cpu = self.device.type == "cpu"
        self.batch_size = batch_size or (CPU_BATCH if on_cpu else GPU_BATCH)
        self.batch_tokens = CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS
        self.tokenizer = _load_tokenizer(config, path)
        self.model = _load_model(config, path, self.device)
        self.window = config.window or getattr(self.model.config, "max_position_embeddings", None)
        self.replays = 0
        """Answers decided again alone because two tokens were nearly tied (see generation.py)."""

    def encode(self, prompt: Rendered) -> list[int]:
        """Token ids of a rendered prompt: special tokens as the model expects them."""
        if isinstance(prompt, str):
            return list(self.tokenizer(prompt)["input_ids"])
        if self.tokenizer.chat_template is None:
            raise ConfigError(
                f"model '{self.name}' has no chat template; set prompt_style: completion"
            )
        text = self.tokenizer.apply_chat_template(
            [{"role": m.role, "content": m.content} for m in prompt],
            add_generation_prompt=True,
            tokenize=False,
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def count_tokens(self, prompt: Rendered) -> int:
        """Tokens of a rendered prompt, special tokens included."""
        return len(self.encode(prompt))

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Continue each prompt; length-sorted batches, longest first."""
        from harness.llm.generation import generate_batch
        from harness.llm.prefix import SharedPrefix

        prompts = [self.encode(request.prompt) for request in requests]
        groups: dict[tuple[int, bool], list[int]] = {}
        for index, request in enumerate(requests):
            key = (request.max_tokens, request.soft_prompt is not None)
            groups.setdefault(key, []).append(index)
        for (_, soft), indices in groups.items():
            prefix = SharedPrefix.of(self, [] if soft else [prompts[i] for i in indices])
            own = [prompt[prefix.length :] for prompt in prompts]
            for batch in self.batches(indices, own):
                replies = generate_batch(
                    self, [prompts[i] for i in batch], [requests[i] for i in batch], prefix
                )
                yield from zip(batch, replies, strict=True)

    def batches(
        self, indices: Iterable[int], prompts: Sequence[Sequence[int]]
    ) -> Iterator[list[int]]:
        """Length-sorted batches that suit this device."""
        return length_sorted_batches(indices, prompts, self.batch_size, self.batch_tokens)

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
        """Natural-log probability of each continuation, summed over its tokens."""
        from harness.llm.scoring import continuation_logprobs

        prompts = [self.encode(request.prompt) for request in requests]
        pairs = [
            (index, prompts[index], self._continuation(text))
            for index, request in enumerate(requests)
            for text in request.continuations
        ]
        logprobs = continuation_logprobs(self, [(p, c) for _, p, c in pairs])
        for index in range(len(requests)):
            mine = [i for i, pair in enumerate(pairs) if pair[0] == index]
            yield (
                index,
                Scores(
                    tuple(logprobs[i] for i in mine),
                    tuple(len(pairs[i][2]) for i in mine),
                    len(prompts[index]) * len(mine),
                ),
            )

    def next_token_probs(
        self, requests: Sequence[NextTokenRequest]
    ) -> Iterator[tuple[int, NextTokenProbs]]:
        """Probability of each string's first token, from one forward pass."""
        from harness.llm.scoring import next_token_distributions

        prompts = [self.encode(request.prompt) for request in requests]
        for batch in self.batches(range(len(requests)), prompts):
            rows = next_token_distributions(self, [prompts[i] for i in batch])
            for index, row in zip(batch, rows, strict=True):
                first = {text: self._continuation(text)[0] for text in requests[index].strings}
                if len(set(first.values())) < len(first):
                    raise ConfigError(
                        f"strings {list(first)} share a first token in '{self.name}' and cannot "
                        "be told apart by next-token probability"
                    )
                probs = {text: float(row[token]) for text, token in first.items()}
                yield index, NextTokenProbs(probs, len(prompts[index]))

    def provenance(self) -> dict[str, Any]:
        """Resolved revision, dtype, device, quantisation and adapter."""
        return {
            "revision": getattr(self.model.config, "_commit_hash", None) or self.config.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.device),
            "attention": self.model.config._attn_implementation,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "trust_remote_code": self.config.trust_remote_code,
        }

    def close(self) -> None:
        """Release the weights."""
        import torch

        del self.model
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _continuation(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if not ids:
            raise ConfigError(f"continuation {text!r} has no tokens")
        return ids


def quiet_transformers() -> None:
    """Keep transformers' bars and notices out of the harness's own output."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _load_tokenizer(config: ModelConfig, path: str) -> Any:
    from transformers import AutoTokenizer

    quiet_transformers()
    tokenizer = AutoTokenizer.from_pretrained(
        path, revision=config.revision, trust_remote_code=config.trust_remote_code
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id or 0
    return tokenizer


def _load_model(config: ModelConfig, path: str, device: torch.device) -> Any:
    from transformers import AutoModelForCausalLM, GenerationConfig

    options: dict[str, Any] = {"dtype": _dtype(config, device), "device_map": {"": device}}
    if config.quantization is not None:
        options["quantization_config"] = _quantization(config.quantization, options["dtype"])
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
            use_safetensors=True,
            **options,
        )
    except OSError as error:
        raise InputError(
            f"model '{config.name}': cannot load '{path}' ({str(error).splitlines()[0]}); give a "
            "local folder (path:/folder) or make the hub reachable"
        ) from error
    if config.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, config.adapter, use_safetensors=True)
    model.eval().requires_grad_(False)
    # A checkpoint's own sampling defaults must not leak into greedy decoding.
    eos = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=eos)
    return model


def _dtype(config: ModelConfig, device: torch.device) -> torch.dtype:
    import torch

    if config.dtype != "auto":
        dtype: torch.dtype = getattr(torch, config.dtype)
        return dtype
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def _quantization(kind: str, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
