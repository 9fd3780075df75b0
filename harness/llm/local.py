"""Local transformers models: fp32, bf16, NF4, int8, peft adapters, soft prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.llm.adapters import adapted, with_adapter
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
from harness.llm.loading import explained, reason
from harness.llm.prefix import KeptPrompts
from harness.progress import quiet_libraries
from harness.prompts import Message, Rendered

if TYPE_CHECKING:
    import torch

    from harness.llm.catalogue import ModelConfig

CPU_BATCH, GPU_BATCH = 16, 64
# On a CPU the caches, not the cores, bound a batch: SmolLM2-135M on 2 cores read prompts of 780
# tokens at 0.71 a second alone, 0.57 in fours and 0.32 in sixteens. So prompts are read in small
# batches and written on in larger ones (kvcache.py), as many as memory may hold.
CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 1024, 65_536
CPU_HELD_TOKENS = 16_384
CPU_KEPT_TOKENS = 49_152


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
        self.held_tokens = CPU_HELD_TOKENS if on_cpu else GPU_BATCH_TOKENS
        self.tokenizer = _load_tokenizer(config, path)
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        # What an empty prompt becomes: a model must read something before it can write.
        self._start: int = next((token for token in (bos, eos) if token is not None), 0)
        self.begins = _begins(self.tokenizer)
        """Token ids that the tokenizer puts before every text; a soft prompt stands after them."""
        self.model = _load_model(config, path, self.device)
        self.revision = _commit(path, config.revision)
        quantised = getattr(self.model, "hf_quantizer", None) is not None
        self.exact = self.model.dtype == torch.float32 and not quantised
        """Whether no answer depends on its batch; below fp32, rounding is too coarse for that."""
        self.window = config.window or getattr(self.model.config, "max_position_embeddings", None)
        self.kept = KeptPrompts(CPU_KEPT_TOKENS) if on_cpu else None
        """Prompts of questions under way; on a GPU, reading them in batches is worth more."""
        self.replays = 0
        """Answers decided again alone because two tokens were nearly tied (see generation.py)."""

    def encode(self, prompt: Rendered) -> list[int]:
        """Token ids of a rendered prompt: special tokens as the model expects them."""
        if isinstance(prompt, str):
            ids = self.tokenizer(prompt)["input_ids"]
        else:
            # The template itself writes the special tokens, <s> among them.
            ids = self.tokenizer(self._chat(prompt), add_special_tokens=False)["input_ids"]
        return list(ids) or [self._start]

    def part(self, prompt: Sequence[int]) -> tuple[list[int], list[int]]:
        """A prompt's ids where a soft prompt parts them: what the tokenizer puts first, the rest.

        A model that was trained to begin with <s> attends to it wherever it has nothing better to
        look at, so a memory must not take its place.
        """
        length = len(self.begins) if tuple(prompt[: len(self.begins)]) == self.begins else 0
        return list(prompt[:length]), list(prompt[length:])

    def has_token(self, text: str) -> bool:
        """Whether the tokenizer holds ``text`` as one token."""
        return self.token_id(text) is not None

    def token_id(self, text: str) -> int | None:
        """The id of ``text`` if it is one token, as spelt in the vocabulary or in plain text."""
        spelt: int | None = self.tokenizer.convert_tokens_to_ids(text)
        if spelt is not None and self.tokenizer.convert_ids_to_tokens(spelt) == text:
            return spelt
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids[0] if len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id else None

    def count_tokens(self, prompt: Rendered) -> int:
        """Tokens of a rendered prompt, special tokens included."""
        return len(self.encode(prompt))

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[tuple[int, Reply]]:
        """Continue each prompt; length-sorted batches, longest first."""
        from harness.llm.generation import generate_all

        yield from generate_all(self, requests)

    def batches(
        self, indices: Iterable[int], prompts: Sequence[Sequence[int]]
    ) -> Iterator[list[int]]:
        """Length-sorted batches that suit this device."""
        return length_sorted_batches(indices, prompts, self.batch_size, self.batch_tokens)

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Scores]]:
        """Natural-log probability of each continuation, summed over its tokens."""
        from harness.llm.scoring import score_all

        yield from score_all(self, requests)

    def next_token_probs(
        self, requests: Sequence[NextTokenRequest]
    ) -> Iterator[tuple[int, NextTokenProbs]]:
        """Probability of each string's first token, from one forward pass."""
        from harness.llm.scoring import next_token_all

        yield from next_token_all(self, requests)

    def release(self, question_id: str) -> None:
        """Forget what was kept of a question's prompts."""
        if self.kept is not None:
            self.kept.release(question_id)

    def adapted(self, folder: Path | None) -> AbstractContextManager[None]:
        """While open, the model with a method's adapter (merged unless the weights are rounded)."""
        return adapted(self, folder)

    def provenance(self) -> dict[str, Any]:
        """Resolved revision, dtype, device, attention kernel and size."""
        return {
            "revision": self.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "independent_of_batch": self.exact,
            "device": str(self.device),
            "attention": self.model.config._attn_implementation,
            "parameters": self.model.num_parameters(),
            "trust_remote_code": self.config.trust_remote_code,
        }

    def close(self) -> None:
        """Release the weights."""
        import torch

        del self.model
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _chat(self, messages: Sequence[Message]) -> str:
        if self.tokenizer.chat_template is None:
            raise ConfigError(
                f"model '{self.name}' has no chat template; set prompt_style: completion"
            )
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            text: str = self.tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=False
            )
        except Exception as error:
            raise ConfigError(
                f"model '{self.name}': its chat template refuses these messages "
                f"({reason(error)}); set prompt_style: completion"
            ) from error
        return text


def _load_tokenizer(config: ModelConfig, path: str) -> Any:
    from transformers import AutoTokenizer

    quiet_libraries()
    with explained(config, "the tokenizer", path):
        tokenizer = AutoTokenizer.from_pretrained(
            path, revision=config.revision, trust_remote_code=config.trust_remote_code
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id or 0
    return tokenizer


def _begins(tokenizer: Any) -> tuple[int, ...]:
    # Compared with a text, since some tokenizers put tokens after it, too.
    empty, text = tokenizer("")["input_ids"], tokenizer("a")["input_ids"]
    length = next((i for i, (x, y) in enumerate(zip(empty, text, strict=False)) if x != y), None)
    return tuple(empty[: min(len(empty), len(text)) if length is None else length])


def _load_model(config: ModelConfig, path: str, device: torch.device) -> Any:
    from transformers import AutoModelForCausalLM, GenerationConfig

    options: dict[str, Any] = {"dtype": _dtype(config, device), "device_map": {"": device}}
    if config.quantization is not None:
        options["quantization_config"] = _quantization(config.quantization, options["dtype"])
    with explained(config, "the weights", path):
        model = AutoModelForCausalLM.from_pretrained(
            path,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
            use_safetensors=True,
            **options,
        )
    # A checkpoint's own sampling defaults must not leak into greedy decoding.
    eos = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=eos)
    _never_repack(model)
    if config.adapter is not None:
        model = with_adapter(config, config.adapter, model)
    return model.eval().requires_grad_(False)


def _never_repack(model: Any) -> None:
    """Have NF4 weights stay as they were loaded.

    On a CPU with AVX512-BF16, bitsandbytes packs them anew on the first forward pass. No gradient
    passes through packed weights, their scales are rounded to bfloat16, and they no longer look
    like the model that was loaded. With SmolLM2-135M on one core, packed ones read 150 tokens in
    0.95 s instead of 0.67 s, and wrote a token in 0.06 s instead of 0.14 s.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False


def _commit(path: str, revision: str | None) -> str | None:
    """The commit that a hub model's revision (None: its main branch) stood for when loaded."""
    from huggingface_hub import try_to_load_from_cache

    if Path(path).is_dir():
        return revision
    file = try_to_load_from_cache(path, "config.json", revision=revision)
    return Path(file).parent.name if isinstance(file, str) else revision


def _dtype(config: ModelConfig, device: torch.device) -> torch.dtype:
    import torch

    if config.dtype != "auto":
        dtype: torch.dtype = getattr(torch, config.dtype)
        return dtype
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def _quantization(kind: str, dtype: torch.dtype) -> Any:
    import logging

    from transformers import BitsAndBytesConfig

    # It would say in every layer of every step that int8 casts its inputs to float16.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
