"""Streams of the stub: a whole reply in pieces, well-formed or odd as those of real servers are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from tests.stub.minds import pieces

_THOUGHTS = ("reasoning_content", "reasoning")


@dataclass(frozen=True)
class Streams:
    """How a reply is streamed; a piece is a word, with its log-probability."""

    before: float = 0.0
    """Seconds before the first piece, be it of thoughts."""
    between: float = 0.0
    """Seconds before the answer's first piece, if there are thoughts, and before its last one."""
    size: int = 0
    """Bytes of one write; 0: an event."""
    end_of_line: str = "\n"
    comments: bool = False
    """Whether lines that keep the connection alive stand between events."""
    says: tuple[Literal["finish", "usage", "done"], ...] = ("finish", "usage", "done")
    """What it tells at its end."""
    usage_apart: bool = True
    """Whether tokens are told after the choice, or with its end."""
    most: int | None = None
    """Events after which the connection is lost, or ``then`` is sent."""
    then: str = ""
    """Raw text in place of the rest."""

    def writes(self, value: dict[str, Any]) -> Iterator[bytes]:
        """What is written of a reply, one write after the other."""
        for wait, data in islice(self._events(value), self.most):
            time.sleep(wait)
            yield from self._cut(self._event(data))
        if self.then:
            yield from self._cut(self.then.encode())

    def _event(self, data: str) -> bytes:
        comment = ": still here\n\n" if self.comments else ""
        return f"{comment}data: {data}\n\n".replace("\n", self.end_of_line).encode()

    def _cut(self, event: bytes) -> list[bytes]:
        size = self.size or len(event)
        return [event[at : at + size] for at in range(0, len(event), size)]

    def _events(self, value: dict[str, Any]) -> Iterator[tuple[float, str]]:
        (choice,), usage = value["choices"], value.get("usage")
        rest = {key: each for key, each in value.items() if key not in ("choices", "usage")}

        def event(*choices: dict[str, Any], **more: Any) -> str:
            return json.dumps({**rest, "choices": choices, **more}, ensure_ascii=False)

        for wait, piece in self._pieces(choice):
            yield wait, event({"index": 0, "finish_reason": None, **piece})
        last: dict[str, Any] = {"index": 0, **_empty(choice)}
        last["finish_reason"] = choice["finish_reason"] if "finish" in self.says else None
        told = usage if "usage" in self.says else None
        yield 0.0, event(last, usage=None if self.usage_apart else told)
        if self.usage_apart and told:
            yield 0.0, event(usage=told)
        if "done" in self.says:
            yield 0.0, "[DONE]"

    def _pieces(self, choice: dict[str, Any]) -> Iterator[tuple[float, dict[str, Any]]]:
        message = choice.get("message")
        wait = self.before
        if message is not None:
            yield 0.0, {"delta": {"role": "assistant", "content": ""}}
        for name in _THOUGHTS:
            for word in pieces((message or {}).get(name) or ""):
                yield wait, {"delta": {name: word}}
                wait = 0.0
        if wait == 0.0:
            wait = self.between
        words = _words(choice["text"] if message is None else message["content"] or "")
        for place, word in enumerate(words):
            is_last = place == len(words) - 1
            text = {"text": word} if message is None else {"delta": {"content": word}}
            found = slice(place, None if is_last else place + 1)
            yield wait, {**text, "logprobs": _part(choice.get("logprobs"), found)}
            wait = self.between if place == len(words) - 2 else 0.0


Streaming = Callable[[Any], Streams | None]
"""How a request is streamed; None: as JSON, as if nobody had asked for a stream."""


def _words(content: str | list[dict[str, str]]) -> list[Any]:
    """A text in words; content in parts stays so."""
    if isinstance(content, str):
        return pieces(content)
    return [[part] for part in content]


def _empty(choice: dict[str, Any]) -> dict[str, Any]:
    return {"delta": {}} if "message" in choice else {"text": ""}


def _part(logprobs: dict[str, list[Any]] | None, found: slice) -> dict[str, list[Any]] | None:
    return logprobs and {name: values[found] for name, values in logprobs.items()}
