"""LoRA adapters of local models: what a model's entry names, a method brings or `write` trains."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, InputError
from harness.escape import one_line
from harness.files import read_json, write_json
from harness.fingerprint import fingerprint, known_sha256
from harness.llm.loading import explained
from harness.llm.model_config import ModelConfig, local_folder
from harness.llm.prefix import KeptPrompts
from harness.llm.runtime import Runtime

FILES = ("adapter_config.json", "adapter_model.safetensors")
# What may make loading change weights of the base model itself, which could not be put back.
_MORE_THAN_LORA = (
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
)
_PLAIN_STARTS = (True, False, "gaussian")
BUSY = (
    "it already has one that cannot be merged, since its weights are rounded or shared; a model "
    "takes one such adapter"
)


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
    return fingerprint({name: known_sha256(folder / name) for name in FILES})


def adapter_folder(adapter: str) -> Path:
    """The folder of an adapter, fetched if it is a hub id. Raises InputError if it holds none."""
    from huggingface_hub import snapshot_download

    folder = local_folder(adapter)
    folder = folder or Path(snapshot_download(adapter, allow_patterns=list(FILES)))
    check_adapter(folder)
    return folder


def with_adapter(config: ModelConfig, adapter: str, model: Any) -> Any:
    """The model with the adapter of a local folder or a hub id, not merged, frozen."""
    from peft import PeftModel
    from safetensors import safe_open

    with explained(config, "the adapter", adapter):
        folder = adapter_folder(adapter)
        with warnings.catch_warnings():
            warnings.filterwarnings("error", ".*missing adapter keys")
            # It warns of merging, which is not done to tied weights.
            warnings.filterwarnings("ignore", ".*tie_word_embeddings")
            # peft asks for it by the name that it had before.
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")
            model = PeftModel.from_pretrained(model, folder)
        with safe_open(folder / FILES[1], "pt") as weights:
            names = weights.keys()
        given = sum("lora_" in name for name in names)
        taken = sum("lora_" in name for name, _ in model.named_parameters())
        if given != taken:
            raise InputError(f"it has {given} LoRA tensors, the model takes {taken}")
    return model.eval().requires_grad_(False)


@contextmanager
def adapted(runtime: Runtime, config: ModelConfig, folder: Path) -> Iterator[Runtime]:
    """The runtime with a method's adapter; afterwards its model is again what it was.

    The adapter is merged into the weights where that changes nothing but speed: not into rounded
    ones, and not into weights that another layer shares.
    """
    if config.adapter is not None:
        raise ConfigError(
            f"model '{config.name}' has an adapter of its own ('{config.adapter}'), so it cannot "
            f"take the method's ('{folder}') too; run the method on the model without it"
        )
    with explained(config, "the adapter", str(folder)):
        check_adapter(folder)
        check_plain(folder)
        if hasattr(runtime.model, "peft_config"):
            raise InputError(BUSY)
    held = _Held(runtime.model)
    # What was read without the adapter means nothing with it.
    kept = None if runtime.kept is None else KeptPrompts(runtime.kept.most)
    try:
        yield replace(runtime, model=_with_both(config, folder, held), kept=kept)
    finally:
        held.restore()


def _with_both(config: ModelConfig, folder: Path, held: _Held) -> Any:
    wrapped = with_adapter(config, str(folder), held.model)
    with explained(config, "the adapter", str(folder)):
        # "Safe" puts the sums into new tensors, so that those held stay as they are.
        apart = _stays_apart(held.model)
        return wrapped if apart else wrapped.merge_and_unload(safe_merge=True)


@contextmanager
def in_training(model: Any, lora: Any, seed: int) -> Iterator[Any]:
    """The model with a new LoRA to be trained (``peft.LoraConfig``), drawn from the seed.

    Only the LoRA is trainable. Afterwards the model is again what it was.
    """
    import torch
    from peft import get_peft_model

    if hasattr(model, "peft_config"):
        raise InputError(f"a LoRA cannot be trained on this model: {BUSY}")
    held = _Held(model)
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")
            torch.manual_seed(seed)
            wrapped = get_peft_model(model, lora)
        yield wrapped.eval()
    finally:
        held.restore()


def save_adapter(model: Any, folder: Path, name: str) -> None:
    """Write a trained LoRA in float16, for the model of this name; the same LoRA, the same bytes.

    ``model`` is what ``in_training`` gave; its LoRA is of no use for training afterwards.
    """
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.half()
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    # peft notes where on this machine the model lay, and modules in no fixed order.
    config = read_json(folder / FILES[0])
    modules = sorted(config["target_modules"])
    config |= {"base_model_name_or_path": name, "target_modules": modules}
    write_json(folder / FILES[0], config)


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


def check_plain(folder: Path, also: Sequence[str] = ()) -> None:
    """Raise InputError for an adapter that is more than LoRA layers, or has any of ``also``."""
    from safetensors import SafetensorError, safe_open

    path = folder / FILES[0]
    config = read_json(path)
    config = config if isinstance(config, dict) else {}
    more = [key for key in (*_MORE_THAN_LORA, *also) if config.get(key)]
    if config.get("bias", "none") != "none":
        more.append("bias")
    if config.get("init_lora_weights", True) not in _PLAIN_STARTS:
        more.append("init_lora_weights")
    if config.get("peft_type") != "LORA":
        more = ["peft_type"]
    if more:
        raise InputError(
            f"{path}: {more[0]} {config.get(more[0])!r:.200} is more than LoRA layers over "
            "unchanged weights; train the adapter without it"
        )
    try:
        with safe_open(folder / FILES[1], "pt") as weights:
            names = weights.keys()
    except (SafetensorError, OSError) as error:
        raise InputError(f"{folder / FILES[1]}: {one_line(str(error))}; save it again") from error
    other = [name for name in names if "lora_" not in name]
    if other:
        raise InputError(
            f"{folder / FILES[1]} holds {one_line(other[0])}, which would replace the model's own; "
            "save the adapter with save_embedding_layers=False"
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
