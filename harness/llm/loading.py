"""Tokenizers and weights read from a folder or the hub; any failure becomes one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, InputError
from harness.progress import quiet_libraries

if TYPE_CHECKING:
    import torch

    from harness.llm.catalogue import ModelConfig


@contextmanager
def explained(config: ModelConfig, part: str, path: str) -> Iterator[None]:
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
            f"model '{config.name}': cannot load {part} from '{path}' ({reason(error)}); {fix}"
        ) from error


def reason(error: Exception) -> str:
    """The first line of an error, after its type unless that is plain from the text."""
    line = next(iter(str(error).strip().splitlines()), "")
    return line if isinstance(error, OSError | HarnessError) else f"{type(error).__name__}: {line}"


def load_tokenizer(config: ModelConfig, path: str) -> Any:
    """The tokenizer, with a token to pad with. Raises InputError if it cannot be read."""
    from transformers import AutoTokenizer

    quiet_libraries()
    with explained(config, "the tokenizer", path):
        tokenizer = AutoTokenizer.from_pretrained(
            path, revision=config.revision, trust_remote_code=config.trust_remote_code
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id or 0
    return tokenizer


def load_model(config: ModelConfig, path: str, device: torch.device) -> Any:
    """The model in evaluation mode, frozen, in the config's dtype, which must not be ``auto``.

    Raises InputError if it cannot be read or does not fit in memory.
    """
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    options: dict[str, Any] = {
        "dtype": getattr(torch, config.dtype),
        "device_map": {"": device},
    }
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
    return model.eval().requires_grad_(False)


def commit(path: str, revision: str | None) -> str | None:
    """The commit that a hub model's revision (None: its main branch) stood for when loaded."""
    from huggingface_hub import try_to_load_from_cache

    if Path(path).is_dir():
        return revision
    file = try_to_load_from_cache(path, "config.json", revision=revision)
    return Path(file).parent.name if isinstance(file, str) else revision


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
