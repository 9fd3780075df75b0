"""Tokenizers and weights read from a folder or the hub; any failure becomes one clear line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, InputError, machine_failure
from harness.progress import quiet_libraries

if TYPE_CHECKING:
    import torch

    from harness.llm.model_config import ModelConfig

logger = logging.getLogger(__name__)

# transformers reads a tokenizer.model with them.
_READERS = {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}


@contextmanager
def explained(config: ModelConfig, part: str, path: str, fix: str = "") -> Iterator[None]:
    """Turn whatever a loader raises into one InputError that names the model and the fix."""
    try:
        yield
    except Exception as error:
        fix = fix or f"for {part}, give a local folder or a hub id in reach that fits the model"
        if machine_failure(error):
            fix = (
                "free memory (end other programs on the GPU), set quantization: nf4, or take a "
                "smaller model or another device"
            )
        raise InputError(
            f"model '{config.name}': cannot load {part} from '{path}' ({reason(error)}); {fix}"
        ) from error


def reason(error: Exception) -> str:
    """The first line of an error, after its type unless that is plain from the text."""
    lines = str(error).strip().splitlines() or [""]
    # A list's first line says nothing without the rest.
    line = " ".join(" ".join(lines).split()) if lines[0].rstrip().endswith(":") else lines[0]
    return line if isinstance(error, OSError | HarnessError) else f"{type(error).__name__}: {line}"


_WHOLE_TOKENIZER = (
    "a tokenizer is tokenizer.json, or a vocabulary (tokenizer.model, vocab.json with merges.txt) "
    "beside tokenizer_config.json: give a local folder or a hub id in reach that holds it"
)
_CONVERT = (
    "weights must be safetensors, since pickle files can run code (.bin is one): name a revision "
    "that holds them (the hub's converter offers one as hf:ORG/NAME@refs/pr/N, see the "
    "repository's pull requests), or convert those that you trust: python -c \"from "
    "transformers import AutoModelForCausalLM as M; M.from_pretrained('FOLDER', "
    "use_safetensors=False).save_pretrained('FOLDER')\""
)


def only_pickles(folder: Path) -> str:
    """What to do about a folder whose weights are .bin files alone; empty if they are not."""
    names = [file.name for file in folder.iterdir()]
    pickled = any(name.endswith((".bin", ".pt", ".pth")) for name in names)
    safe = any(name.endswith(".safetensors") for name in names)
    return "" if safe or not pickled else _CONVERT.replace("FOLDER", str(folder))


def load_tokenizer(config: ModelConfig, path: str) -> Any:
    """The tokenizer, with a token to pad with. Raises InputError if it cannot be read."""
    from transformers import AutoTokenizer

    quiet_libraries()
    with explained(config, "the tokenizer", path, _tokenizer_fix()):
        tokenizer = AutoTokenizer.from_pretrained(
            path, revision=config.revision, trust_remote_code=config.trust_remote_code
        )
        # Where a vocabulary is missing, transformers makes a tokenizer that knows no word.
        if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
            raise InputError("its vocabulary is missing")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id or 0
    return tokenizer


def load_model(config: ModelConfig, path: str, device: torch.device) -> Any:
    """The model in evaluation mode, frozen, in the config's dtype, which must not be ``auto``.

    Raises InputError if it cannot be read, does not fit in memory or lacks weights.
    """
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    options: dict[str, Any] = {
        "dtype": getattr(torch, config.dtype),
        "device_map": {"": device},
    }
    if config.quantization is not None:
        options["quantization_config"] = _quantization(config.quantization, options["dtype"])
    with explained(config, "the weights", path, _weights_fix(path)):
        model, found = AutoModelForCausalLM.from_pretrained(
            path,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
        if getattr(model, "_hf_peft_config_loaded", False):
            raise InputError(
                "it holds an adapter over weights of another place; name those as the path and "
                "this as the adapter"
            )
        _check_whole(config, type(model).__name__, found)
    # A checkpoint's own sampling defaults must not leak into greedy decoding.
    eos = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=eos)
    _never_repack(model)
    return model.eval().requires_grad_(False)


def _check_whole(config: ModelConfig, kind: str, found: dict[str, Any]) -> None:
    """Raise InputError for weights that transformers would draw at random; warn of those left over.

    A model with parts of its own, such as a memory, is opened without them as the architecture that
    its config names.
    """
    lacking, over = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    if lacking:
        raise InputError(
            f"{len(lacking):,} weights of a {kind} are not in its files, such as {lacking[0]}; "
            "they would be random"
        )
    if over:
        logger.warning(
            "model '%s': %s weights in its files are no part of a %s, such as %s; they are left "
            "out, so it is not the model that was trained with them",
            config.name, f"{len(over):,}", kind, over[0],
        )  # fmt: skip


def _tokenizer_fix() -> str:
    missing = [package for package, module in _READERS.items() if not _is_there(module)]
    if not missing:
        return _WHOLE_TOKENIZER
    return f"a tokenizer.model is read with them: pip install {' '.join(missing)}"


def _is_there(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def _weights_fix(path: str) -> str:
    if Path(path).is_dir():
        return only_pickles(Path(path))
    return f"if the repository holds them in another format: {_CONVERT}"


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
