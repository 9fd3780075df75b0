"""Refusals in one line each: what a server will not do, and what to change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from harness.errors import (
    ConfigError,
    HarnessError,
    PromptTooLongError,
    WindowExceededError,
)
from harness.llm.server.failures import Refused
from harness.llm.server.window import exceeded

OF_ACCOUNTS = frozenset({401, 402})
"""Statuses of a key or a balance that is used up. After the server was met they say nothing about a
question or a method, whose answer is then missing and not wrong."""
_FEW = 5
_UNKNOWN_MODEL = re.compile(
    r"\bmodel\b.{0,80}\bnot (found|exist|served)|(unknown|invalid) model\b(?! (input|output))", re.I
)


def explained(
    refused: Refused, *, where: str, model: str, key: str, served: Sequence[str], words: str
) -> HarnessError:
    """The error to raise. ``served``: model ids that the server lists; ``words``: its own."""
    if refused.status in {401, 403}:
        return ConfigError(f"{where}: key refused; check the variable {key}")
    if refused.status == 402:
        return HarnessError(
            f"{where}: the account has nothing left to pay with ({words}); see to it"
        )
    too_long = exceeded(refused)
    if too_long is not None:
        return _too_long(where, *too_long, words)
    if refused.status == 404 and model in served:
        return ConfigError(
            f"{where}: '{model}' is listed, but this way of asking is unknown ({words}); set the "
            "other prompt_style (chat or completion)"
        )
    if refused.status == 404 or _UNKNOWN_MODEL.search(words):
        there = _instead(model, served)
        return ConfigError(f"{where}: '{model}' is not served there{there}: {words}")
    if "chat_template_kwargs" in words or "reasoning_effort" in words:
        return ConfigError(
            f"{where}: the server takes no template arguments ({words}); take template and "
            "thinking out of the model's entry"
        )
    return HarnessError(f"{where}: request refused (HTTP {refused.status}: {words})")


def no_v1(where: str, url: str) -> ConfigError:
    """A base URL that lacks its last part."""
    return ConfigError(f"{where}: nothing is served there, but at {url}/v1; write base_url so")


def unreachable(where: str, has_v1: bool) -> HarnessError:
    """Nothing listens at a base URL."""
    hint = "" if has_v1 else " (it usually ends in /v1)"
    return HarnessError(f"{where}: cannot connect; start the server or correct base_url{hint}")


def _too_long(
    where: str, window: int | None, prompt_tokens: int | None, words: str
) -> PromptTooLongError:
    told = f"a prompt of {prompt_tokens} tokens" if prompt_tokens else "a prompt"
    if window is None:
        return PromptTooLongError(
            f"{where}: {told} is too long, and the server does not tell its window ({words}); name "
            "window and tokenizer in the model's entry, so that passages are cut first"
        )
    return WindowExceededError(
        f"{where}: {told} exceeds the window of {window} with what is to be written; use fewer or "
        "shorter passages and demonstrations",
        window,
        prompt_tokens,
    )


def _instead(model: str, served: Sequence[str]) -> str:
    if not served:
        return ", or base_url lacks /v1"
    close = get_close_matches(model, served, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    more = ", …" if len(served) > _FEW else ""
    return f"{hint} (served: {', '.join(sorted(served)[:_FEW])}{more})"
