"""Replies of a server, read: text in one piece or in parts, thoughts, counts, probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Any

from harness.llm.server.failures import ServerFailure
from harness.llm.thoughts import TAGS, answer_at, part

THOUGHTS = ("reasoning_content", "reasoning")
"""What servers call the field (DeepSeek, SGLang, llama.cpp; vLLM since 0.12, OpenRouter)."""

MOST_TOKENS = 10**9
"""More than any model reads at once: a count above it is a server's mistake."""


@dataclass(frozen=True, slots=True)
class Step:
    """One generated token: its text, natural-log probability, and those of the likeliest tokens."""

    token: str
    logprob: float
    top: Mapping[str, float]


class Streamed(dict[str, Any]):
    """What a whole reply would have been, of one that came as a stream, and when its text came.

    ``marks``: after every piece, how much text there was, and the moment on ``perf_counter``;
    ``end``: when it was said that nothing more would come.
    """

    def __init__(
        self, value: Mapping[str, Any], marks: Sequence[tuple[int, float]], end: float
    ) -> None:
        super().__init__(value)
        self._marks, self._end = marks, end

    def moment(self, at: int) -> float:
        """When the character at a place of the text was there; the end where the text is over."""
        return next((moment for length, moment in self._marks if length > at), self._end)


@dataclass(frozen=True, slots=True)
class Said:
    """What the first choice of a completion says."""

    answer: str
    thoughts: str
    thinks: bool
    """Whether thoughts have begun, be it that nothing of them came."""
    cut_off: bool
    prompt_tokens: int | None
    completion_tokens: int | None
    steps: tuple[Step, ...]
    first_token: float | None = None
    """When the answer's first token was there, of a reply that came as a stream."""

    @classmethod
    def read(cls, value: Mapping[str, Any], *, opened: bool = False) -> Said:
        """Read a completion or a chat completion that holds a choice.

        ``opened``: the prompt ended with the tag that opens thoughts; a reply that was cut off
        before any tag is then all thoughts.
        """
        choice = value["choices"][0]
        cut_off = choice.get("finish_reason") == "length"
        message = choice.get("message")
        if isinstance(message, Mapping):
            text, inside = joined(message.get("content"))
            fields = [joined(message.get(name))[0] for name in THOUGHTS]
            apart = next((field for field in fields if field), inside)
        elif "text" in choice:
            text, apart = str(choice["text"] or ""), ""
        else:
            raise ServerFailure("a choice without message and text")
        opened = opened and cut_off and not apart
        thoughts, answer = part(text, opened=opened)
        generated = steps(choice.get("logprobs"))
        # The tag itself may be all that came, and a server may keep it from the text.
        begun = text or "".join(step.token for step in generated)
        usage = value.get("usage") or {}
        thinks = bool(apart or thoughts or opened)
        at = answer_at(text, opened=opened) if thinks else 0
        return cls(
            answer,
            "\n\n".join(filter(None, [apart.strip(), thoughts])),
            thinks or any(tags.opening in begun for tags in TAGS),
            cut_off,
            counted(usage, "prompt_tokens"),
            counted(usage, "completion_tokens"),
            generated,
            value.moment(at) if isinstance(value, Streamed) else None,
        )


def steps(logprobs: Any) -> tuple[Step, ...]:
    """Generated tokens from a choice's ``logprobs``, in the form of either endpoint.

    llama.cpp has the form of chats for both.
    """
    if not isinstance(logprobs, Mapping):
        return ()
    content = logprobs.get("content")
    if isinstance(content, Sequence):
        return tuple(
            Step(
                str(item.get("token")),
                number(item.get("logprob")),
                {
                    str(t.get("token")): number(t.get("logprob"))
                    for t in item.get("top_logprobs") or ()
                },
            )
            for item in content
        )
    tokens, values = logprobs.get("tokens") or (), logprobs.get("token_logprobs") or ()
    tops = logprobs.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        Step(str(token), number(value), {str(k): number(v) for k, v in (top or {}).items()})
        for token, value, top in zip(tokens, values, tops, strict=False)
    )


def number(logprob: Any) -> float:
    """A log-probability as a float; minus infinity where the server gives none."""
    if not isinstance(logprob, int | float) or isnan(logprob):
        return -inf
    return float(logprob)


def joined(content: Any) -> tuple[str, str]:
    """A message's text, maybe in parts, and the thoughts among them (Mistral's ``thinking``)."""
    if content is None:
        return "", ""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise ServerFailure(f"content that is no text: {str(content)[:60]!r}")
    texts, thoughts = [], []
    for item in content:
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, Mapping) and "thinking" in item:
            thoughts.append(joined(item["thinking"])[0])
        elif isinstance(item, Mapping):
            texts.append(str(item.get("text") or ""))
    return "".join(texts), "".join(thoughts)


def counted(usage: Any, name: str) -> int | None:
    """A count of tokens that a server tells; None where it tells none that can be."""
    value = usage.get(name) if isinstance(usage, Mapping) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MOST_TOKENS else None
