"""Options of a model's entry that are checked before anything is opened: no secrets, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from harness.errors import ConfigError
from harness.llm.template import check_argument

_ENVIRONMENT_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_SECRET_ARGS = re.compile(
    r"(^|[,?&;])\s*(\w*api_?key|((auth|hf|access)_)?token|password|secret|headers?)\s*=", re.I
)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^,\s]*", re.I)
# A URL without what makes it one, behind a model's name.
_USER = re.compile(r"@[^@\s]*:[^@\s]*@")
# What a hosted server of lm-eval's has to be asked with, and no secret.
_PLAIN_QUERY = re.compile(r"(api-version=[\w.-]*)?")


def _word(value: Any) -> Any:
    # YAML reads on and off as yes and no.
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


OnOff = Annotated[Literal["on", "off"], BeforeValidator(_word)]


class WheelFile(BaseModel):
    """A weights file inside an installed Python distribution."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distribution: str
    version: str
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def urls_without_credentials(
    urls: str | tuple[str, ...] | None,
) -> str | tuple[str, ...] | None:
    """One URL or several, separated by commas or apart, each once and without a slash at its end.

    Raises ConfigError if one holds a key or is no URL.
    """
    given = (urls,) if isinstance(urls, str) else urls or ()
    each = [_without_credentials(url.strip()) for text in given for url in text.split(",")]
    different = tuple(dict.fromkeys(filter(None, each)))
    return different[0] if len(different) == 1 else different or None


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    if _holds_credentials(url) or parts.query:
        raise ConfigError(
            "base_url must hold no user, password or query; put the key in an environment "
            "variable and name it in api_key_env"
        )
    if url and (parts.scheme not in {"http", "https"} or not parts.netloc):
        raise ConfigError("base_url must look like http://host:port/v1")
    return url.rstrip("/")


def variable_name(name: str | None) -> str | None:
    """The name of an environment variable. Raises ConfigError if it looks like a key itself."""
    if name is not None and not _ENVIRONMENT_NAME.fullmatch(name):
        raise ConfigError(
            "api_key_env must be the NAME of an environment variable (capital letters, digits "
            "and '_'), never the key itself"
        )
    return name


def args_without_secrets(args: str) -> str:
    """lm-eval's arguments. Raises ConfigError if one of them is a key, token or header."""
    if _SECRET_ARGS.search(args) or any(map(_holds_credentials, _URL.findall(args))):
        raise ConfigError(
            "lm_eval_args must hold no key, token or header, nor a URL with one: they end up in "
            "the run's files; lm-eval reads keys from OPENAI_API_KEY and ANTHROPIC_API_KEY"
        )
    return args


def place_without_credentials(text: str | None) -> str | None:
    """A model's id, folder or file. Raises ConfigError for a URL, which may hold a key."""
    given = text or ""
    if "://" in given or _SECRET_ARGS.search(given) or _USER.search(given):
        raise ConfigError(
            "a model's id, folder or file must be no URL and hold no key; put a key in an "
            "environment variable, and a server's URL in base_url: openai:MODEL@https://HOST/v1"
        )
    return text


def _holds_credentials(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "@" in url or "?" in url
    is_plain = _PLAIN_QUERY.fullmatch(parts.query) is not None
    return "@" in parts.netloc or not is_plain or bool(parts.fragment)


def template_arguments(arguments: Any) -> Any:
    """Arguments for a chat template, a day as text. Raises ConfigError for one that is refused."""
    if not isinstance(arguments, Mapping):
        raise ConfigError("template takes arguments by name, such as {enable_thinking: false}")
    # YAML reads 2024-07-26 as a date.
    texts = {k: v.isoformat() if isinstance(v, date) else v for k, v in arguments.items()}
    for key, value in texts.items():
        check_argument(str(key), value)
    return texts
