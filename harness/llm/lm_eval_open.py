"""lm-eval's models opened by name, with their templates told what to write and what not to ask."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, HarnessError, InputError, did_you_mean
from harness.llm.template import DAY, stopped

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig
    from harness.llm.thinking import Thinking


def open_lm(config: ModelConfig, options: Mapping[str, Any]) -> Any:
    """The lm-eval model of a config; ``options`` count where ``lm_eval_args`` sets them not.

    Raises ConfigError for a name, template arguments or a tokenizer that do not work, InputError
    if lm-eval cannot open it.
    """
    lm = _open(config, options)
    from lm_eval.api.model import TemplateLM

    if isinstance(lm, TemplateLM):
        _check_ends(config, lm)
        _stop_clock(lm)
    _give_arguments(config, lm)
    return lm


def thinking_in(config: ModelConfig, lm: Any) -> Thinking | None:
    """How lm-eval's model thinks, switched on or off as the config says."""
    from lm_eval.models.huggingface import HFLM

    from harness.llm.thinking import switch, thinking_of

    # Its own attribute alone: some models load a tokenizer when asked for it.
    tokenizer = vars(lm).get("tokenizer")
    if config.thinking and not isinstance(lm, HFLM):
        raise ConfigError(
            f"model '{config.name}': lm-eval's '{config.path}' is told in lm_eval_args whether to "
            "think (such as enable_thinking=False); leave thinking out"
        )
    if not hasattr(tokenizer, "get_added_vocab"):
        return None
    if config.thinking:
        lm.chat_template_args = {**lm.chat_template_args, **switch(config, tokenizer)}
    return thinking_of(config, tokenizer)


def _stop_clock(lm: Any) -> None:
    # Its own attribute alone: some models load a tokenizer when asked for it.
    tokenizer = vars(lm).get("tokenizer")
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, str):
        tokenizer.chat_template = stopped(template)
    elif isinstance(template, dict):
        tokenizer.chat_template = {name: stopped(text) for name, text in template.items()}


def _give_arguments(config: ModelConfig, lm: Any) -> None:
    given = {key: value for key, value in config.template.items() if key != DAY}
    if given and not hasattr(lm, "chat_template_args"):
        raise ConfigError(
            f"model '{config.name}': lm-eval's '{config.path}' takes no arguments for a chat "
            "template; leave template out"
        )
    if given:
        lm.chat_template_args = {**lm.chat_template_args, **given}


def _check_ends(config: ModelConfig, lm: Any) -> None:
    tokenizer, end = vars(lm).get("tokenizer"), lm.eot_token_id
    if hasattr(tokenizer, "get_added_vocab") and lm.tok_encode("a")[-1:] == [end]:
        raise ConfigError(
            f"model '{config.name}': its tokenizer puts an end token after every text and "
            "lm-eval leaves it in the prompts; name the model as hf:ORG/NAME or path:FOLDER"
        )


def _open(config: ModelConfig, options: Mapping[str, Any]) -> Any:
    if not os.environ.get("LMEVAL_LOG_LEVEL"):
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
    # Imported for its registrations: a plugin may have registered first, and lm-eval then
    # takes its own table for complete.
    import lm_eval.models  # noqa: F401
    from lm_eval.api.registry import get_model, model_registry

    known = list(model_registry.keys())
    if config.path not in known:
        raise ConfigError(f"lm-eval has no model '{config.path}'{did_you_mean(config.path, known)}")
    given = {part.partition("=")[0].strip() for part in config.lm_eval_args.split(",")}
    remote_code = {"trust_remote_code": True} if config.trust_remote_code else {}
    extra = {k: v for k, v in {**options, **remote_code}.items() if v is not None}
    try:
        return get_model(config.path).create_from_arg_string(
            config.lm_eval_args, {k: v for k, v in extra.items() if k not in given}
        )
    except HarnessError:
        raise
    except Exception as error:
        raise InputError(
            f"model '{config.name}': lm-eval cannot open '{config.path}' with "
            f"'{config.lm_eval_args}' ({type(error).__name__}: {error})"
        ) from error
