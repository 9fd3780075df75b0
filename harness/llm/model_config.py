"""The configuration of one language model: everything that decides how it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PrivateAttr,
    field_validator,
    model_validator,
)

from harness.errors import ConfigError, InputError, did_you_mean
from harness.escape import masked
from harness.files import check_slug, expanded
from harness.llm.options import (
    OnOff,
    WheelFile,
    args_without_secrets,
    place_without_credentials,
    template_arguments,
    urls_without_credentials,
    variable_name,
)
from harness.llm.specs import is_place
from harness.llm.template import DAY
from harness.prompts import PromptStyle

Kind = Literal["transformers", "vllm", "openai", "lm-eval"]
TemplateValue = str | bool | int | FiniteFloat | None
_WEIGHTS_HERE: Mapping[str, tuple[Kind, ...]] = {
    "revision": ("transformers", "vllm"),
    "quantization": ("transformers", "vllm"),
    "adapter": ("transformers", "vllm"),
    "gguf_file": ("transformers",),
    "wheel": ("transformers",),
}
_ONE_KIND: Mapping[str, Kind] = {
    "base_url": "openai",
    "api_key_env": "openai",
    "lm_eval_args": "lm-eval",
    "gpu_memory_utilization": "vllm",
    "max_lora_rank": "vllm",
    "prompt_embeds": "vllm",
}
_QUANTIZATIONS: Mapping[str, tuple[str, ...]] = {
    "transformers": ("nf4", "int8"),
    "vllm": ("nf4", "fp8"),
}
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
    quantization: Literal["nf4", "int8", "fp8"] | None = Field(
        None, description="transformers: nf4, int8; vllm: nf4, fp8, or as its files are rounded"
    )
    adapter: str | None = Field(None, description="peft adapter: hub id or local folder")
    gguf_file: str | None = Field(None, description="a GGUF file's name inside path")
    wheel: WheelFile | None = None
    window: int | None = Field(None, ge=1, description="tokens; None takes the model's own")
    trust_remote_code: bool = Field(False, description="run Python code that comes with the model")
    base_url: str | tuple[str, ...] | None = Field(
        None, description="openai: where /v1 is served; several places share the requests"
    )
    api_key_env: str | None = Field(
        None,
        description="openai: environment variable with the key; null: the standard one of the "
        "server's host, OPENAI_API_KEY on this machine",
    )
    tokenizer: str | None = Field(None, description="openai: hub id or folder to count tokens with")
    max_concurrency: int = Field(8, ge=1, description="openai: most requests at once in a place")
    lm_eval_args: str = Field("", description="lm-eval: ARG=VALUE,ARG=VALUE")
    gpu_memory_utilization: FiniteFloat | None = Field(
        None, gt=0, le=1, description="vllm: share of the GPU's memory that it takes"
    )
    max_lora_rank: int | None = Field(
        None, ge=1, description="vllm: largest rank of adapters; None takes none"
    )
    prompt_embeds: bool = Field(False, description="vllm: take soft prompts, which costs speed")
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
            raise ConfigError(masked(str(error))) from None

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

    @field_validator("path", "revision", "adapter", "gguf_file", "tokenizer")
    @classmethod
    def _places_without_credentials(cls, place: str | None) -> str | None:
        return place_without_credentials(place)

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
        for key, kinds in _WEIGHTS_HERE.items():
            if getattr(self, key) and self.kind not in kinds:
                raise ConfigError(
                    f"model '{self.name}': {key} works with kind {' and '.join(kinds)}, not "
                    f"{self.kind}; set it where that model is served"
                )
        known = _QUANTIZATIONS.get(self.kind, ())
        if self.quantization is not None and self.quantization not in known:
            raise ConfigError(
                f"model '{self.name}': quantization {self.quantization} is none that kind "
                f"{self.kind} knows; take one of {', '.join(known)}"
            )
        if self.adapter and self.kind == "vllm" and self.max_lora_rank is None:
            raise ConfigError(
                f"model '{self.name}': adapter needs max_lora_rank with kind vllm; set it to the "
                "adapter's rank or more"
            )
        if DAY in self.template and self.kind == "openai":
            raise ConfigError(
                f"model '{self.name}': template: {DAY} works with kind transformers and lm-eval; "
                "give the argument by which the served model's own template takes a date"
            )
        for key, kind in _ONE_KIND.items():
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
            "vllm": {"dtype", "quantization", "adapter"},
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
    folder = expanded(path)
    return folder if is_place(path) or (path and folder.is_dir()) else None
