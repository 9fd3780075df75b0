"""Local transformers models: fp32, bf16, NF4, int8, peft adapters, soft prompts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, HarnessError, InputError
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
from harness.llm.prefix import KeptPrompts
from harness.prompts import Message, Rendered
from harness.quiet import quiet_libraries

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
                f"({_reason(error)}); set prompt_style: completion"
            ) from error
        return text


def _load_tokenizer(config: ModelConfig, path: str) -> Any:
    from transformers import AutoTokenizer

    quiet_libraries()
    with _explained(config, "the tokenizer", path):
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
    with _explained(config, "the weights", path):
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
    if config.adapter is not None:
        model = _with_adapter(config, config.adapter, model)
    return model.eval().requires_grad_(False)


def _commit(path: str, revision: str | None) -> str | None:
    """The commit that a hub model's revision (None: its main branch) stood for when loaded."""
    from huggingface_hub import try_to_load_from_cache

    if Path(path).is_dir():
        return revision
    file = try_to_load_from_cache(path, "config.json", revision=revision)
    return Path(file).parent.name if isinstance(file, str) else revision


def _with_adapter(config: ModelConfig, adapter: str, model: Any) -> Any:
    from huggingface_hub import snapshot_download
    from peft import PeftModel
    from safetensors import safe_open

    files = ["adapter_config.json", "adapter_model.safetensors"]
    local = config.model_copy(update={"path": adapter}).is_local or Path(adapter).is_dir()
    with _explained(config, "the adapter", adapter):
        folder = Path(adapter).expanduser() if local else None
        folder = folder or Path(snapshot_download(adapter, allow_patterns=files))
        # peft would read a pickle file in their place.
        for name in files:
            if not (folder / name).is_file():
                raise InputError(f"{folder} holds no {name}")
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*missing adapter keys")
            model = PeftModel.from_pretrained(model, folder)
        with safe_open(folder / files[1], "pt") as weights:
            names = weights.keys()
        given = sum("lora_" in name for name in names)
        taken = sum("lora_" in name for name, _ in model.named_parameters())
        if given != taken:
            raise InputError(f"it has {given} LoRA tensors, the model takes {taken}")
    return model


@contextmanager
def _explained(config: ModelConfig, part: str, path: str) -> Iterator[None]:
    """Turn whatever a loader raises into one InputError that names the model and the fix."""
    import torch

    try:
        yield
    except Exception as error:
        fix = (
            f"for {part}, give a local folder or a hub id in reach that fits the model; weights "
            "must be safetensors, since pickle files can run code"
        )
        if isinstance(error, torch.OutOfMemoryError):
            fix = "set quantization: nf4, or take a smaller model or another device"
        raise InputError(
            f"model '{config.name}': cannot load {part} from '{path}' ({_reason(error)}); {fix}"
        ) from error


def _reason(error: Exception) -> str:
    """The first line of an error, after its type unless that is plain from the text."""
    line = next(iter(str(error).strip().splitlines()), "")
    return line if isinstance(error, OSError | HarnessError) else f"{type(error).__name__}: {line}"


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
