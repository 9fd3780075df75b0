"""Bodies of requests, as the two endpoints take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.llm.messages import as_messages
from harness.llm.requests import GenerateRequest
from harness.llm.thoughts import SWITCHES
from harness.prompts import PromptStyle, Rendered

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig

# Hosted servers refuse more stop strings; replies are cut here in any case.
MOST_STOPS = 4
_CHAT, _COMPLETION = "/chat/completions", "/completions"


def in_chat(prompt: Rendered, style: PromptStyle) -> bool:
    """Whether a prompt is sent as a chat: messages always are."""
    return style == "chat" or not isinstance(prompt, str)


def placed(
    prompt: Rendered, style: PromptStyle, extras: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The path that a prompt goes to, and its part of the body; ``extras`` go with chats only."""
    if in_chat(prompt, style):
        return _CHAT, {**extras, "messages": messages(prompt)}
    return _COMPLETION, {"prompt": prompt}


def options(
    config: ModelConfig, request: GenerateRequest, *, room: int, stops: bool
) -> dict[str, Any]:
    """All but the prompt; ``room``: tokens for thoughts, which servers count with the answer."""
    body: dict[str, Any] = {
        "model": config.path,
        "max_tokens": request.max_tokens + room,
        "temperature": request.temperature,
        "top_p": 1.0,
        "seed": request.seed,
    }
    if request.stop and stops:
        body["stop"] = list(request.stop[:MOST_STOPS])
    return body


def messages(prompt: Rendered) -> list[dict[str, str]]:
    """A prompt as a server takes chats."""
    return [{"role": m.role, "content": m.content} for m in as_messages(prompt)]


def template_options(config: ModelConfig, *, quiet: bool = False) -> dict[str, Any]:
    """Arguments of the chat template and the switch of thoughts, which ``quiet`` puts off.

    ``reasoning_effort`` among them goes in the field that servers have for it.
    """
    template = dict(config.template)
    effort = template.pop("reasoning_effort", None)
    if config.thinking or quiet:
        on = config.thinking == "on" and not quiet
        template = {**dict.fromkeys(SWITCHES, on), **template}
    return {
        **({"chat_template_kwargs": template} if template else {}),
        **({"reasoning_effort": effort} if effort is not None else {}),
    }
