"""Opening of vLLM's engine from a model's entry; a package that is missing is told in one line."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.llm.loading import explained

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig

EXTRA = "pip install 'lm-memory-harness[vllm]'"
# vLLM rounds to 4 bits as it loads by bitsandbytes, as transformers does.
_QUANTIZATION = {"nf4": "bitsandbytes"}
_ALL_TOKENS = -1


def check_installed(config: ModelConfig) -> None:
    """Raise ConfigError if vLLM is not there."""
    if find_spec("vllm") is None:
        raise ConfigError(f"model '{config.name}': vllm not installed; {EXTRA}")


def open_engine(config: ModelConfig, path: str) -> Any:
    """A ``vllm.LLM`` of a model's files. Raises InputError if it cannot open them."""
    from vllm import LLM

    with explained(config, "the weights in vLLM", path):
        return LLM(**arguments(config, path))


def arguments(config: ModelConfig, path: str) -> dict[str, Any]:
    """What vLLM's engine is opened with; what the entry leaves open is vLLM's own default."""
    given = {
        "revision": config.revision,
        "tokenizer_revision": config.revision,
        "quantization": _QUANTIZATION.get(config.quantization or "", config.quantization),
        "max_model_len": config.window,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "max_lora_rank": config.max_lora_rank,
    }
    return {
        "model": path,
        "tokenizer": path,
        "dtype": config.dtype,
        "trust_remote_code": config.trust_remote_code,
        "seed": 0,
        "max_logprobs": _ALL_TOKENS,
        "enable_lora": config.max_lora_rank is not None,
        "enable_prompt_embeds": config.prompt_embeds,
        "enable_prefix_caching": True,
        **{name: value for name, value in given.items() if value is not None},
    }
