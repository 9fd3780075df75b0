"""Shapes of what servers answer: choices of both endpoints, log-probabilities in each form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tests.stub.minds import Token

_THOUGHT = re.compile(r"<think>\n(?P<thoughts>.*?)(?:\n</think>\n\n(?P<answer>.*))?", re.DOTALL)


def chat_choice(
    text: str, written: Sequence[Token], thoughts_in: str, parts: bool, top: int
) -> dict[str, Any]:
    """A chat's message, and its log-probabilities if ``top`` are wanted."""
    apart = _THOUGHT.fullmatch(text) if thoughts_in != "tags" else None
    content: Any = apart["answer"] if apart else text
    if parts and content:
        middle = len(content) // 2
        halves = (content[:middle], content[middle:])
        content = [{"type": "text", "text": half} for half in halves]
    message = {"role": "assistant", "content": content}
    if apart:
        message[thoughts_in] = apart["thoughts"]
    listed = [
        {
            "token": token.text,
            "logprob": token.logprob,
            "top_logprobs": [{"token": t, "logprob": value} for t, value in token.top],
        }
        for token in written
    ]
    return {"message": message, "logprobs": {"content": listed} if top else None}


def completion_choice(
    text: str, read: Sequence[Token], written: Sequence[Token], echo: bool, top: int
) -> dict[str, Any]:
    """A completion's text; with ``echo``, the prompt and its tokens stand before it."""
    shown = [*read, *written] if echo else written
    logprobs = {
        "tokens": [token.text for token in shown],
        "token_logprobs": [token.logprob for token in shown],
        "top_logprobs": [dict(token.top) or None for token in shown],
        "text_offset": [-1 for _ in shown],
    }
    before = "".join(token.text for token in read) if echo else ""
    return {"text": before + text, "logprobs": logprobs if top else None}


def prompt_rows(read: Sequence[Token]) -> list[dict[str, Any] | None]:
    """vLLM's ``prompt_logprobs``: by token id; the first token has none."""
    return [
        None
        if token.logprob is None
        else {str(token.id): {"logprob": token.logprob, "rank": 1, "decoded_token": token.text}}
        for token in read
    ]
