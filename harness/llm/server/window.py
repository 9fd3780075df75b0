"""Windows that servers tell: in their list of models, and when a prompt was too long for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.llm.server.failures import Refused

_TOO_LONG = re.compile(
    r"(context|prompt|input|sequence)\b.{0,60}\b(length|size|window|long)|too many tokens|"
    r"context_length_exceeded|exceed_context_size|`?inputs`? (tokens|must have)",
    re.I | re.S,
)
_STATUSES = frozenset({400, 413, 422, 500, 501})
_FIELDS = ("type", "n_ctx", "n_prompt_tokens")
# OpenAI and vLLM; llama.cpp ("context size (8192 tokens)"); SGLang; TGI ("<= 4096").
_WINDOW = (
    re.compile(r"context (?:length|size|window)\D{0,20}?(\d+)", re.I),
    re.compile(r"n_ctx (\d+)"),
    re.compile(r"must be <= (\d+)"),
)
_PROMPT = (
    re.compile(r"n_prompt_tokens (\d+)"),
    re.compile(r"prompt contains (?:at least )?(\d+)", re.I),
    re.compile(r"(\d+) (?:input|prompt) tokens", re.I),
    re.compile(r"(\d+)(?: tokens)? (?:in|from) the (?:input )?(?:messages|prompt)", re.I),
    re.compile(r"(?:request|input) \((\d+) tokens\)", re.I),
    re.compile(r"resulted in (\d+) tokens", re.I),
    re.compile(r"Given: (\d+) `inputs` tokens"),
)


def exceeded(refused: Refused) -> tuple[int | None, int | None] | None:
    """The window and the prompt's tokens, if an error says that a prompt is too long."""
    # Fields of the body say more than its message: the code of OpenAI, llama.cpp's numbers.
    fields = refused.body if isinstance(refused.body, Mapping) else {}
    told = {key: value for key, value in fields.items() if key in _FIELDS}
    text = " ".join([refused.words, *(f"{key} {value}" for key, value in told.items())])
    if refused.status not in _STATUSES or not _TOO_LONG.search(text):
        return None
    return _first(_WINDOW, text), _first(_PROMPT, text)


def window_of(listed: Mapping[str, Any] | None) -> int | None:
    """The window that a list of models tells of one (vLLM and SGLang; llama.cpp in ``meta``)."""
    if listed is None:
        return None
    meta = listed.get("meta")
    told = listed.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    return told if isinstance(told, int) and told > 0 else None


def window_of_props(props: Mapping[str, Any]) -> int | None:
    """The window of one slot that llama.cpp tells at /props."""
    settings = props.get("default_generation_settings")
    told = settings.get("n_ctx") if isinstance(settings, dict) else None
    return told if isinstance(told, int) and told > 0 else None


def _first(patterns: tuple[re.Pattern[str], ...], text: str) -> int | None:
    found = next((match for pattern in patterns if (match := pattern.search(text))), None)
    return int(found[1]) if found else None
