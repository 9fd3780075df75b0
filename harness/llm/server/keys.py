"""Keys of servers: from the environment, kept inside the client, sent to whom they are for."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.errors import ConfigError

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig

NO_KEY = "none"
OPENAI = "OPENAI_API_KEY"
STANDARD = {
    "api.openai.com": OPENAI,
    "openrouter.ai": "OPENROUTER_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.fireworks.ai": "FIREWORKS_API_KEY",
    "api.x.ai": "XAI_API_KEY",
}
"""The variable that a host's own documentation names; its key goes to that host alone."""


def key_of(config: ModelConfig) -> tuple[str, str]:
    """The variable that holds a model's key, and the key; ``NO_KEY`` where none is to be sent.

    Raises ConfigError where the config names a variable, or no server of its own, and there is
    no key, and where a key would go over the internet in clear.
    """
    variable = config.api_key_env or standard_variable(config.urls)
    key = os.environ.get(variable, "").strip() if variable else ""
    if not key and (config.api_key_env or not config.urls):
        raise ConfigError(
            f"model '{config.name}': the environment variable {variable} holds no key; set it, or "
            "give base_url for a server that needs none"
        )
    for url in config.urls if key else ():
        if urlsplit(url).scheme == "http" and not _is_near(url):
            raise ConfigError(
                f"model '{config.name}': the key in {variable} would go to {url} in clear; give "
                "an https URL, or unset the variable for a server that needs no key"
            )
    return variable or "api_key_env", key or NO_KEY


def standard_variable(urls: tuple[str, ...]) -> str | None:
    """The variable whose key is for all these servers; None if none is.

    Of a server on this machine, and where no server is named, OpenAI's.
    """
    known = {_standard(url) for url in urls} or {OPENAI}
    return known.pop() if len(known) == 1 else None


def _standard(url: str) -> str | None:
    return OPENAI if is_here(url) else STANDARD.get(urlsplit(url).hostname or "")


def is_here(url: str) -> bool:
    """Whether a server is on this machine."""
    host = _host(url)
    return host == "localhost" if isinstance(host, str) else host.is_loopback


def _is_near(url: str) -> bool:
    """Whether it is on this machine or in a private network."""
    host = _host(url)
    # A name without a dot is no host of the internet.
    return "." not in host if isinstance(host, str) else host.is_private


def _host(url: str) -> str | IPv4Address | IPv6Address:
    name = urlsplit(url).hostname or ""
    try:
        return ip_address(name)
    except ValueError:
        return name
