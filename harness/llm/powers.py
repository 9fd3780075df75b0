"""Powers that a file may ask for and only who runs it can give: it may be somebody else's.

A board or recipe decides what is asked of which model. That a model's own code runs here, and which
secret of this machine a server is sent, is decided by ``--allow`` or MEMORY_HARNESS_ALLOW, which
worker processes inherit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from harness.errors import ConfigError
from harness.llm.server.keys import is_here, standard_variable

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig

ALLOWED = "MEMORY_HARNESS_ALLOW"
REMOTE_CODE, VARIABLE = "remote-code", "env:"
_POWER = re.compile(rf"{REMOTE_CODE}|{VARIABLE}[A-Z_][A-Z0-9_]*")
_CODE_ARGUMENT = re.compile(r"(?:^|,)\s*trust_remote_code\s*=\s*(?!false\s*(?:,|$))", re.I)


def allow(powers: Iterable[str]) -> None:
    """Give powers to this process and its workers. Raises ConfigError for what is none."""
    for power in powers:
        if not _POWER.fullmatch(power):
            raise ConfigError(
                f"--allow {power}: no such power; there are {REMOTE_CODE} and, of an environment "
                f"variable, {VARIABLE}NAME"
            )
    os.environ[ALLOWED] = ",".join(sorted({*allowed(), *powers}))


def allowed() -> frozenset[str]:
    """The powers that were given."""
    return frozenset(filter(None, os.environ.get(ALLOWED, "").split(",")))


def check_powers(model: ModelConfig, known: ModelConfig | None = None) -> None:
    """Raise ConfigError if a model asks for a power that was not given.

    ``known``: the catalogue's entry that it is made of, which may have what it asks for.
    """
    before = set(_asked(known)) if known is not None else set()
    for power, why in _asked(model):
        if (power, why) not in before:
            check_power(power, f"model '{model.name}' {why}")


def check_power(power: str, why: str) -> None:
    """Raise ConfigError, which begins with who asks for it and why, if a power was not given."""
    if power not in allowed():
        raise ConfigError(
            f"{why}: if you trust it and where its entry comes from, write memory-harness "
            f"--allow {power} before the command"
        )


def _asked(model: ModelConfig) -> Iterator[tuple[str, str]]:
    if model.trust_remote_code or _CODE_ARGUMENT.search(model.lm_eval_args):
        yield REMOTE_CODE, "runs Python code that comes with it"
    variable, is_near = model.api_key_env, bool(model.urls) and all(map(is_here, model.urls))
    if variable is not None and not is_near and variable != standard_variable(model.urls):
        where = ", ".join(model.urls) or "api.openai.com"
        yield f"{VARIABLE}{variable}", f"sends the environment variable {variable} to {where}"
