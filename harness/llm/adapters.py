"""LoRA adapters of local models: one that a model's entry names, or one that a method brings."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, InputError
from harness.files import read_json
from harness.fingerprint import file_sha256, fingerprint
from harness.llm.loading import explained
from harness.llm.prefix import KeptPrompts

if TYPE_CHECKING:
    from harness.llm.catalogue import ModelConfig
    from harness.llm.local import LocalModel

FILES = ("adapter_config.json", "adapter_model.safetensors")
# What may make loading change weights of the base model itself, which could not be put back.
_MORE_THAN_LORA = (
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
)
_PLAIN_STARTS = (True, False, "gaussian")


def check_adapter(folder: Path) -> None:
    """Raise InputError unless the folder holds a LoRA adapter, weights in safetensors."""
    # peft would read a pickle file in their place.
    for name in FILES:
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} holds no {name}; save the adapter there with peft, which writes it "
                "unless told to write a pickle"
            )


def adapter_fingerprint(folder: Path) -> str:
    """SHA-256 of what an adapter's two files hold. Raises InputError if one is missing."""
    check_adapter(folder)
    return fingerprint({name: file_sha256(folder / name) for name in FILES})


def with_adapter(config: ModelConfig, adapter: str, model: Any) -> Any:
    """The model with the adapter of a local folder or a hub id, not merged."""
    from huggingface_hub import snapshot_download
    from peft import PeftModel
    from safetensors import safe_open

    local = config.model_copy(update={"path": adapter}).is_local or Path(adapter).is_dir()
    with explained(config, "the adapter", adapter):
        folder = Path(adapter).expanduser() if local else None
        folder = folder or Path(snapshot_download(adapter, allow_patterns=list(FILES)))
        check_adapter(folder)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*missing adapter keys")
            # It warns of merging, which is not done to tied weights.
            warnings.filterwarnings("ignore", ".*tie_word_embeddings")
            model = PeftModel.from_pretrained(model, folder)
        with safe_open(folder / FILES[1], "pt") as weights:
            names = weights.keys()
        given = sum("lora_" in name for name in names)
        taken = sum("lora_" in name for name, _ in model.named_parameters())
        if given != taken:
            raise InputError(f"it has {given} LoRA tensors, the model takes {taken}")
    return model


@contextmanager
def adapted(llm: LocalModel, folder: Path | None) -> Iterator[None]:
    """While open, ``llm`` is the model with a method's adapter; afterwards it is what it was.

    The adapter is merged into the weights where that changes nothing but speed: not into rounded
    ones, and not into weights that another layer shares.
    """
    if folder is None:
        yield
        return
    if llm.config.adapter is not None:
        raise ConfigError(
            f"model '{llm.name}' has an adapter of its own ('{llm.config.adapter}'), so it cannot "
            f"take the method's ('{folder}') too; run the method on the model without it"
        )
    with explained(llm.config, "the adapter", str(folder)):
        check_adapter(folder)
        _check_plain(folder)
    base, held = llm.model, _Held(llm.model)
    with _own_prompts(llm):
        try:
            llm.model = _with_both(llm.config, folder, held)
            yield
        finally:
            held.restore()
            llm.model = base


def _with_both(config: ModelConfig, folder: Path, held: _Held) -> Any:
    wrapped = with_adapter(config, str(folder), held.model)
    with explained(config, "the adapter", str(folder)):
        # "Safe" puts the sums into new tensors, so that those held stay as they are.
        apart = _stays_apart(held.model)
        model = wrapped if apart else wrapped.merge_and_unload(safe_merge=True)
    return model.eval().requires_grad_(False)


class _Held:
    """A model's layers and weights, held to be put back: subtracting what was added would round."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.layers = [
            (p, name, layer) for p in model.modules() for name, layer in p.named_children()
        ]
        self.weights = [(weight, weight.data) for weight in model.parameters()]

    def restore(self) -> None:
        """Take the adapter's layers out, and give every weight its old content."""
        for parent, name, layer in self.layers:
            setattr(parent, name, layer)
        for weight, data in self.weights:
            weight.data = data
        if hasattr(self.model, "peft_config"):
            del self.model.peft_config


@contextmanager
def _own_prompts(llm: LocalModel) -> Iterator[None]:
    """What was read with an adapter means nothing without it, nor the other way round."""
    most = llm.kept.most if llm.kept is not None else None
    try:
        llm.kept = None if most is None else KeptPrompts(most)
        yield
    finally:
        llm.kept = None if most is None else KeptPrompts(most)


def _check_plain(folder: Path) -> None:
    from safetensors import safe_open

    path = folder / FILES[0]
    config = read_json(path)
    config = config if isinstance(config, dict) else {}
    more = [key for key in _MORE_THAN_LORA if config.get(key)]
    if config.get("bias", "none") != "none":
        more.append("bias")
    if config.get("init_lora_weights", True) not in _PLAIN_STARTS:
        more.append("init_lora_weights")
    if config.get("peft_type") != "LORA":
        more = ["peft_type"]
    if more:
        raise InputError(
            f"{path}: {more[0]} {config.get(more[0])!r} is more than LoRA layers over unchanged "
            "weights; train the adapter without it"
        )
    with safe_open(folder / FILES[1], "pt") as weights:
        names = weights.keys()
    other = [name for name in names if "lora_" not in name]
    if other:
        raise InputError(
            f"{folder / FILES[1]} holds {other[0]}, which would replace the model's own; save the "
            "adapter with save_embedding_layers=False"
        )


def _stays_apart(base: Any) -> bool:
    """Whether the adapter, already in its place, would change more than its layers if merged."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if getattr(base, "hf_quantizer", None) is not None:
        return True
    owners = Counter(id(weight) for _, weight in base.named_parameters(remove_duplicate=False))
    layers = [layer for layer in base.modules() if isinstance(layer, BaseTunerLayer)]
    weights = [getattr(layer.get_base_layer(), "weight", None) for layer in layers]
    return any(owners[id(weight)] > 1 for weight in weights)
