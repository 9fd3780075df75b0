"""The catalogue of language models, and what a name or a board entry means. Loads no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import (
    ValidationError,
)

from harness.errors import ConfigError, did_you_mean, problem_of
from harness.escape import masked
from harness.files import to_slug
from harness.llm.model_config import ModelConfig
from harness.llm.powers import check_powers
from harness.llm.specs import FORMS, is_place, is_spec, last_part, read_spec
from harness.registry import is_known, load_fields, names

DEFAULT_MODEL = "smollm2-135m-instruct"
_OF_THE_PATH = ("wheel", "gguf_file", "revision")


class _Catalogue(Mapping[str, ModelConfig]):
    """Entries that are read one at a time: those of plug-ins are not imported for others."""

    def __getitem__(self, name: str) -> ModelConfig:
        if name in shipped():
            return shipped()[name]
        if not is_known("models", name):
            raise KeyError(name)
        fields = load_fields("models", name)
        try:
            return _parse({"name": name, **fields})
        except ConfigError as error:
            problem = str(error).removeprefix(f"model '{name}': ")
            raise ConfigError(f"model '{name}' of a plug-in: {problem}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(names("models"))

    def __len__(self) -> int:
        return len(names("models"))


def catalogue() -> Mapping[str, ModelConfig]:
    """Every model by name: the entries of models.yaml and those of plug-ins.

    A name that a plug-in fails to provide raises ConfigError when it is asked for.
    """
    return _Catalogue()


@cache
def shipped() -> Mapping[str, ModelConfig]:
    """The entries of models.yaml."""
    entries = yaml.safe_load(files("harness.llm").joinpath("models.yaml").read_text("utf-8"))
    return {name: _parse({"name": name, **entry}) for name, entry in entries.items()}


def resolve_model(spec: str | Mapping[str, Any]) -> ModelConfig:
    """The model that a catalogue name, a spec or a board's mapping means.

    Specs: ``hf:ORG/NAME[@REVISION]``, ``path:FOLDER``, ``gguf:FILE``, ``openai:MODEL@URL[,URL]``,
    ``lm-eval:NAME,ARG=VALUE,...``. A mapping holds ModelConfig's fields; its ``name`` may be a
    catalogue name or a spec that the other fields override (the overriding values are appended
    to the name, so that both can stand on one board). Raises ConfigError, also for powers that
    were not given (see powers.py).
    """
    model, known = _meant(spec)
    check_powers(model, known)
    return model


def _meant(spec: str | Mapping[str, Any]) -> tuple[ModelConfig, ModelConfig | None]:
    """The model, and the catalogue's entry that it is or is made of."""
    if isinstance(spec, str):
        found = _from_text(spec)
        return found, None if is_spec(spec) else found
    if not isinstance(spec, Mapping):
        raise ConfigError(f"a model is a name or a mapping, not {type(spec).__name__}")
    values = dict(spec)
    name = str(values.pop("name", ""))
    if values.get("path") and not is_spec(name) and not is_known("models", name):
        path = str(values["path"])
        called = last_part(path) if is_place(path) else path
        return _parse({"name": name or to_slug(called), **values}), None
    if not name:
        raise ConfigError(f"a model needs a name (a catalogue entry or {FORMS}) or a path")
    base = _from_text(name)
    inherited = base.model_dump(exclude_defaults=True)
    if "path" in values:
        inherited = {k: v for k, v in inherited.items() if k not in _OF_THE_PATH}
    changed = _parse({**inherited, **values, "name": base.name})
    before, after = base.settings(), changed.settings()
    suffix = [
        _tag(key, value)
        for key, value in after.items()
        if value != before.get(key) and key not in {"kind", "tokenizer"}
    ]
    named = changed.model_copy(update={"name": to_slug("-".join([base.name, *suffix]))})
    return named, None if is_spec(name) else base


def _tag(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return "-".join(f"{name}-{argument}" for name, argument in sorted(value.items()))
    if isinstance(value, str) and key != "thinking":
        return last_part(value)
    return f"{key}-{value}" if key == "thinking" or isinstance(value, int) else key


def _from_text(text: str) -> ModelConfig:
    if is_spec(text):
        return _parse(read_spec(text))
    if text not in catalogue():
        raise ConfigError(
            f"unknown model '{masked(text)}'{did_you_mean(text, list(catalogue()))}; or write "
            f"{FORMS}"
        )
    return catalogue()[text]


def _parse(values: Mapping[str, Any]) -> ModelConfig:
    try:
        return ModelConfig.model_validate(dict(values))
    except ValidationError as error:
        found = problem_of(error, echo=False)
        name = masked(str(values.get("name", "")))
        raise ConfigError(f"model '{name}': option '{found.where}': {found.message}") from None
