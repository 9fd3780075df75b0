"""Keys of servers, read from the environment and kept only inside the client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from harness.errors import ConfigError

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig

USUAL_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "none"


def key_of(config: ModelConfig) -> tuple[str, str]:
    """The variable that holds a model's key, and the key; ``NO_KEY`` where none is needed.

    Raises ConfigError where the config names a variable, or no server of its own, and there is
    no key.
    """
    variable = config.api_key_env or USUAL_VARIABLE
    key = os.environ.get(variable, "").strip()
    if not key and (config.api_key_env or not config.urls):
        raise ConfigError(
            f"model '{config.name}': the environment variable {variable} holds no key; set it, or "
            "give base_url for a server that needs none"
        )
    return variable, key or NO_KEY
