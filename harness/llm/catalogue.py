"""The catalogue of language models, and what a name or a board entry means. Loads no model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from harness.errors import ConfigError, InputError, did_you_mean, problem_of
from harness.files import check_slug, to_slug
from harness.llm.options import (
    OnOff,
    WheelFile,
    args_without_secrets,
    template_arguments,
    urls_without_credentials,
    variable_name,
)
from harness.llm.specs import FORMS, is_place, is_spec, last_part, read_spec
from harness.llm.template import DAY
from harness.prompts import PromptStyle
from harness.registry import is_known, load_fields, names

DEFAULT_MODEL = "smollm2-135m-instruct"

Kind = Literal["transformers", "openai", "lm-eval"]
TemplateValue = str | bool | int | FiniteFloat | None
_ONLY_TRANSFORMERS = ("revision", "quantization", "adapter", "gguf_file", "wheel")
_OF_THE_PATH = ("wheel", "gguf_file", "revision")
_THINKING = {"thinking", "thinking_tokens"}
# lm-eval arguments that say where and how fast, not what.
_LM_EVAL_PLACE = frozenset(
    {"base_url", "batch_size", "device", "max_batch_size", "max_retries", "num_concurrent"}
    | {"parallelize", "timeout"}
)


class ModelConfig(BaseModel):
    """Everything needed to open one language model. Holds no secret: keys are named, not kept."""

    # Errors must not echo what was typed: it may be a key in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    kind: Kind = "transformers"
    path: str = Field("", description="hub id, local folder, server's model id or lm-eval name")
    revision: str | None = None
    prompt_style: PromptStyle | None = Field(
        None, description="None: chat if its tokenizer has a chat template, else completion"
    )
    template: Mapping[str, TemplateValue] = Field(
        {}, description="arguments for its chat template, such as enable_thinking: false"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto is float32 on a CPU and bfloat16 on a GPU"
    )
    quantization: Literal["nf4", "int8"] | None = None
    adapter: str | None = Field(None, description="peft adapter: hub id or local folder")
    gguf_file: str | None = Field(None, description="a GGUF file's name inside path")
    wheel: WheelFile | None = None
    window: int | None = Field(None, ge=1, description="tokens; None takes the model's own")
    trust_remote_code: bool = Field(False, description="run Python code that comes with the model")
    base_url: str | tuple[str, ...] | None = Field(
        None, description="openai: where /v1 is served; several places share the requests"
    )
    api_key_env: str | None = Field(
        None, description="openai: environment variable with the key (default OPENAI_API_KEY)"
    )
    tokenizer: str | None = Field(None, description="openai: hub id or folder to count tokens with")
    max_concurrency: int = Field(8, ge=1, description="openai: most requests at once in a place")
    lm_eval_args: str = Field("", description="lm-eval: ARG=VALUE,ARG=VALUE")
    thinking: OnOff | None = Field(
        None, description="reasoning models; None leaves it to the chat template or the server"
    )
    thinking_tokens: int = Field(
        2048, ge=0, description="most tokens of thoughts, beside those of the answer"
    )
    trained_for: tuple[str, ...] = Field(
        (), description="methods whose authors fine-tuned this model, such as corag"
    )
    licence: str = ""
    notes: str = ""
    _style_reason: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        known = list(cls.model_fields)
        for key in values if isinstance(values, Mapping) else ():
            if key not in known:
                raise ConfigError(f"a model has no option '{key}'{did_you_mean(str(key), known)}")
        return values

    @field_validator("name")
    @classmethod
    def _slug(cls, name: str) -> str:
        try:
            return check_slug(name, "model")
        except InputError as error:
            raise ConfigError(str(error)) from None

    @field_validator("template", mode="before")
    @classmethod
    def _template_arguments(cls, arguments: Any) -> Any:
        return template_arguments(arguments)

    @field_validator("base_url")
    @classmethod
    def _urls_without_credentials(
        cls, urls: str | tuple[str, ...] | None
    ) -> str | tuple[str, ...] | None:
        return urls_without_credentials(urls)

    @field_validator("api_key_env")
    @classmethod
    def _variable_name(cls, name: str | None) -> str | None:
        return variable_name(name)

    @field_validator("lm_eval_args")
    @classmethod
    def _args_without_secrets(cls, args: str) -> str:
        return args_without_secrets(args)

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        if not self.path and not self.wheel:
            raise ConfigError(f"model '{self.name}' needs path")
        for key in _ONLY_TRANSFORMERS if self.kind != "transformers" else ():
            if getattr(self, key):
                raise ConfigError(
                    f"model '{self.name}': {key} works with kind transformers, not {self.kind}; "
                    "set it where that model is served"
                )
        if DAY in self.template and self.kind == "openai":
            raise ConfigError(
                f"model '{self.name}': template: {DAY} works with kind transformers and lm-eval; "
                "give the argument by which the served model's own template takes a date"
            )
        for key, kind in {
            "base_url": "openai",
            "api_key_env": "openai",
            "lm_eval_args": "lm-eval",
        }.items():
            if getattr(self, key) and self.kind != kind:
                raise ConfigError(f"model '{self.name}': {key} works with kind {kind} only")
        return self

    @property
    def is_local(self) -> bool:
        """Whether ``path`` is a folder on this machine rather than a hub id."""
        return local_folder(self.path) is not None

    @property
    def urls(self) -> tuple[str, ...]:
        """Where /v1 is served; empty if no place is named."""
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url or ()

    def on(self, device: str) -> Self:
        """The config with dtype ``auto`` made definite for a device."""
        if self.kind != "transformers" or self.dtype != "auto":
            return self
        dtype = "float32" if device.startswith("cpu") else "bfloat16"
        return self.model_copy(update={"dtype": dtype})

    @property
    def style_reason(self) -> str:
        """Why this prompt style was taken; empty if the entry says it."""
        return self._style_reason

    def with_style(self, style: PromptStyle, reason: str) -> Self:
        """The config with a prompt style that its entry left open, and why it was taken."""
        copy = self.model_copy(update={"prompt_style": style})
        copy._style_reason = reason
        return copy

    def settings(self) -> dict[str, Any]:
        """The fields that change predictions, as they are written (see identity.py for files).

        Where a model is served, how many requests go at once, the licence and the entry's name
        are left out, so that the same model on another host continues the same run.
        """
        kept = {"kind", "path", "revision", "prompt_style", "window", "trust_remote_code"}
        by_kind = {
            "transformers": {"dtype", "quantization", "adapter", "gguf_file"},
            "openai": {"tokenizer"},
            "lm-eval": {"lm_eval_args"},
        }
        values = self.model_dump(include=kept | by_kind[self.kind])
        # Left out at their defaults, which no model had to set before there were any.
        values |= self.model_dump(include=_THINKING, exclude_defaults=True)
        if self.template:
            values["template"] = dict(self.template)
        if self.wheel:
            values["weights_sha256"] = self.wheel.sha256
        if self.kind == "lm-eval":
            pairs = [part.strip() for part in self.lm_eval_args.split(",") if part.strip()]
            values["lm_eval_args"] = sorted(
                pair for pair in pairs if pair.partition("=")[0].strip() not in _LM_EVAL_PLACE
            )
        return values


def local_folder(path: str) -> Path | None:
    """The folder on this machine that a model's path means; None for a hub id.

    transformers, too, takes a folder before a hub id of the same name.
    """
    folder = Path(path).expanduser()
    return folder if is_place(path) or (path and folder.is_dir()) else None


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
    to the name, so that both can stand on one board). Raises ConfigError.
    """
    if isinstance(spec, str):
        return _from_text(spec)
    if not isinstance(spec, Mapping):
        raise ConfigError(f"a model is a name or a mapping, not {type(spec).__name__}")
    values = dict(spec)
    name = str(values.pop("name", ""))
    if values.get("path") and not is_spec(name) and not is_known("models", name):
        path = str(values["path"])
        called = last_part(path) if is_place(path) else path
        return _parse({"name": name or to_slug(called), **values})
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
    return changed.model_copy(update={"name": to_slug("-".join([base.name, *suffix]))})


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
            f"unknown model '{text}'{did_you_mean(text, list(catalogue()))}; or write {FORMS}"
        )
    return catalogue()[text]


def _parse(values: Mapping[str, Any]) -> ModelConfig:
    try:
        return ModelConfig.model_validate(dict(values))
    except ValidationError as error:
        found = problem_of(error, echo=False)
        raise ConfigError(
            f"model '{values.get('name', '')}': option '{found.where}': {found.message}"
        ) from None
