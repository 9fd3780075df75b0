"""Key of a reply of a server: what it is asked, and where; what it answers may change in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.llm.identity import identity
from harness.llm.reply_keys import Request, key_of, plain
from harness.llm.requests import GenerateRequest

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig


def reply_key(
    config: ModelConfig,
    request: Request,
    urls: Sequence[str],
    adapted: Sequence[str],
    *,
    thinks: bool,
) -> str | None:
    """A hash of all that is sent and where; None where chance decides, since no seed is taken.

    ``adapted``: what the server refused to take, so that it is not sent.
    """
    sampled = isinstance(request, GenerateRequest) and request.temperature > 0
    if "seed" in adapted and (sampled or any(name.startswith("temperature") for name in adapted)):
        return None
    state = {
        "model": identity(config),
        "urls": list(urls),
        "adapted": list(adapted),
        "thinks": thinks,
    }
    return key_of(request, state, plain(request.prompt))
