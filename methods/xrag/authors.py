"""The authors' checkpoints: a model whose weights hold the projector beside its own."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from harness.errors import ConfigError, InputError
from harness.llm.weights import model_fingerprint
from methods.xrag.bridge import Bridge, BridgeConfig

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.llm.model_config import ModelConfig

TRAINED_FOR = "xrag"
ENCODER = "sfr-embedding-mistral-xrag"
"""The encoder whose vectors their projector takes."""
PREFIX = "projector."
"""Before the projector's names among those of the model: ``projector.projector.0.weight``."""
FIRST = "projector.0.weight"
_INDEX, _WHOLE = "model.safetensors.index.json", "model.safetensors"


def own_bridge(llm: LocalModel) -> Bridge:
    """The projector in the files that the model was loaded from.

    Raises ConfigError for a model that is no checkpoint of xRAG, InputError for one whose files
    hold no projector of two layers.
    """
    check_trained(llm.name, llm.trained_for)
    tensors = _projector(llm.config)
    if not tensors.keys() >= {FIRST}:
        raise InputError(
            f"model '{llm.name}': its files hold no projector, which transformers leaves out when "
            "it saves a model; convert the authors' files as they are, with "
            "safetensors.torch.save_file"
        )
    config = BridgeConfig(
        dimensions=tensors[FIRST].shape[-1],
        hidden=llm.model.get_input_embeddings().weight.shape[1],
        encoder=ENCODER,
        encoder_key="",
        model=llm.name,
        model_fingerprint=model_fingerprint(llm.model),
        prompt_style=llm.prompt_style,
    )
    bridge = Bridge(config)
    try:
        bridge.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"model '{llm.name}': its projector is not two layers that end in the model's width "
            f"({reason}); take a checkpoint of projector_type mlp2x_gelu"
        ) from error
    return bridge.eval().requires_grad_(False)


def check_trained(name: str, trained_for: Collection[str]) -> None:
    """Raise ConfigError for a model that is no checkpoint of the authors."""
    if TRAINED_FOR not in trained_for:
        raise ConfigError(
            f"no bridge is named, and '{name}' is no checkpoint of xRAG that holds one; train "
            "one (memory-harness train-bridge) and name its folder: -p bridge=FOLDER"
        )


def _projector(config: ModelConfig) -> dict[str, Tensor]:
    """The tensors of the projector, by its own names."""
    from safetensors import safe_open

    found = {}
    for file in _files(config):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118  (it is no dictionary)
                if name.startswith(PREFIX):
                    found[name.removeprefix(PREFIX)] = weights.get_tensor(name).float()
    return found


def _files(config: ModelConfig) -> list[Path]:
    """The files of weights that hold a part of the projector, or may."""
    from harness.files import read_json

    index = _place(config, _INDEX)
    if index is not None:
        parts = read_json(index)["weight_map"]
        names = sorted({file for name, file in parts.items() if name.startswith(PREFIX)})
    else:
        names = [_WHOLE]
    return [place for place in (_place(config, name) for name in names) if place is not None]


def _place(config: ModelConfig, name: str) -> Path | None:
    """A file of a model's folder, or of the hub's cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    from harness.llm.identity import model_folder

    folder = model_folder(config)
    if folder is not None:
        return folder / name if (folder / name).is_file() else None
    file = try_to_load_from_cache(config.path, name, revision=config.revision)
    return Path(file) if isinstance(file, str) else None
