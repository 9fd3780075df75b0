"""Input embedding of a model, read from its files: vLLM's engine keeps its weights to itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import CapabilityError, InputError
from harness.files import read_json

if TYPE_CHECKING:
    from torch import nn

    from harness.llm.model_config import ModelConfig

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


def input_embedding(config: ModelConfig, path: str) -> nn.Embedding:
    """The table of token embeddings of a folder's or hub repository's safetensors.

    Raises CapabilityError for a model that makes something else of tokens, InputError for files
    that lack the table.
    """
    from safetensors import safe_open
    from torch import nn

    name = _name(config, path)
    index = _file(config, path, _INDEX)
    held = read_json(index)["weight_map"].get(name, "") if index is not None else _WHOLE
    file = _file(config, path, held) if held else None
    if file is None:
        raise InputError(
            f"model '{config.name}': '{path}' holds no {name} in safetensors, which soft prompts "
            "stand between; save the model in that format"
        )
    with safe_open(file, "pt") as tensors:
        weight = tensors.get_tensor(name)
    rows, width = weight.shape
    return nn.Embedding(rows, width, _weight=weight).requires_grad_(False)


def _name(config: ModelConfig, path: str) -> str:
    """What the table is called, by the model's architecture alone."""
    import torch
    from torch import nn
    from transformers import AutoConfig, AutoModelForCausalLM

    trust: dict[str, Any] = {"trust_remote_code": config.trust_remote_code}
    shape = AutoConfig.from_pretrained(path, revision=config.revision, **trust)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, **trust)
    table = model.get_input_embeddings()
    if type(table) is not nn.Embedding:
        raise CapabilityError(
            f"model '{config.name}': it makes more of tokens than a table does "
            f"({type(table).__name__}), so it takes no soft prompts in vLLM; take hf: or path:"
        )
    named: dict[int, str] = {id(weight): name for name, weight in model.named_parameters()}
    return named[id(table.weight)]


def _file(config: ModelConfig, path: str, name: str) -> Path | None:
    from transformers.utils import cached_file

    found = cached_file(
        path, name, revision=config.revision, _raise_exceptions_for_missing_entries=False
    )
    return None if found is None else Path(found)
