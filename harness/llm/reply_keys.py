"""Keys and JSON of replies that are kept: what decides a reply, and the reply itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harness.fingerprint import fingerprint
from harness.llm.adapters import adapter_fingerprint
from harness.llm.requests import (
    GenerateRequest,
    NextTokenProbs,
    NextTokenRequest,
    Reply,
    ScoreRequest,
    Scores,
    TokenChoice,
)
from harness.llm.weights import digest
from harness.prompts import Rendered

FORM = 1
"""Of keys and replies: another one where either is made otherwise, so that none is misread."""
Request = GenerateRequest | ScoreRequest | NextTokenRequest
Result = Reply | Scores | NextTokenProbs


def key_of(request: Request, state: Mapping[str, Any], prompt: Any) -> str:
    """A hash of what decides a reply: the model's ``state``, the request, its prompt as read."""
    asked: dict[str, Any] = {
        "adapters": [adapter_fingerprint(folder) for folder in request.adapters],
        "prefix": None if request.prefix is None else request.prefix.identity,
    }
    if isinstance(request, GenerateRequest):
        asked |= {
            "max_tokens": request.max_tokens,
            "stop": request.stop,
            "one_line": request.one_line,
            "sampling": [request.temperature, request.seed] if request.temperature > 0 else None,
            "soft": [digest(each) for each in request.soft_prompts],
            "watch": request.watch,
        }
    else:
        texts = request.continuations if isinstance(request, ScoreRequest) else request.strings
        asked["texts"] = texts
    kind = type(request).__name__
    return fingerprint([FORM, kind, dict(state), prompt, asked])


def plain(prompt: Rendered) -> list[list[str]] | str:
    """A prompt as JSON can hold it."""
    return prompt if isinstance(prompt, str) else [[m.role, m.content] for m in prompt]


def written(result: Result) -> str:
    """A reply as JSON, but for when its first token was there."""
    return json.dumps({k: v for k, v in asdict(result).items() if k != "first_token"})


def read(request: Request, text: str) -> Result:
    """The reply to a request that was ``written``. Raises ValueError, TypeError or KeyError."""
    values = json.loads(text)
    if isinstance(request, GenerateRequest):
        return Reply(**values | {"choices": tuple(TokenChoice(**c) for c in values["choices"])})
    if isinstance(request, ScoreRequest):
        tuples = {name: tuple(values[name]) for name in ("logprobs", "token_counts")}
        return Scores(**values | tuples)
    return NextTokenProbs(**values)
