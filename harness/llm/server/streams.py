"""Streams of a server: pieces of a reply as they come, put together to what a whole one would be.

The first piece may hold a role and no text; counts may come in the last piece of a choice (TGI),
after it in one without a choice (OpenAI, vLLM), or in every piece; thoughts have a field of their
own or stand in the text. A stream is over once it says so, or once its choice has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from itertools import chain
from threading import Thread
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from harness.llm.server.events import events
from harness.llm.server.failures import ServerFailure, choice, told_late
from harness.llm.server.replies import THOUGHTS, Streamed, joined

if TYPE_CHECKING:
    from openai import OpenAI

_DONE = "[DONE]"


def stream(client: OpenAI, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for a stream: ``Streamed``, or the plain whole reply of a server that gives none.

    Raises as the client does, or Refused or ServerFailure once the reply has begun.
    """
    import openai

    answered = client.post(
        path, body=body, cast_to=object, stream=True, stream_cls=openai.Stream[object]
    )
    patience = getattr(client.timeout, "read", None)
    try:
        return _read(_received(answered.response, patience))
    except Exception as error:
        answered.close()
        raise _in_stream(error) from None


def _in_stream(error: Exception) -> Exception:
    if isinstance(error, AttributeError | LookupError | TypeError | ValueError):
        error = ServerFailure(f"a stream of an unknown shape ({type(error).__name__})")
    if isinstance(error, ServerFailure):
        error.in_stream = True
    return error


def _read(received: Iterator[bytes]) -> dict[str, Any]:
    first = next(received, b"")
    if first.lstrip().startswith(b"{"):
        whole: dict[str, Any] = json.loads(first + b"".join(received))
        return whole
    pieces = _Pieces()
    try:
        for kind, data in events(chain([first], received)):
            if data.strip() == _DONE:
                pieces.is_over = True
                break
            pieces.add(kind, json.loads(data), perf_counter())
    except ServerFailure:
        if not pieces.is_over:
            raise
    # A connection that is read to its end is used again, at no cost to the next question's time.
    Thread(target=_read_to_the_end, args=(received,), daemon=True).start()
    return pieces.together()


class _Pieces:
    """What a stream has said so far."""

    def __init__(self) -> None:
        self.is_over = False
        self._choice: dict[str, Any] = {}
        self._is_chat = False
        self._texts: dict[str, list[str]] = {name: [] for name in ("content", *THOUGHTS)}
        self._logprobs: dict[str, list[Any]] = {}
        self._usage: Mapping[str, Any] | None = None
        self._length = 0
        self._marks: list[tuple[int, float]] = []
        self._end = 0.0

    def add(self, kind: str, piece: Mapping[str, Any], moment: float) -> None:
        """Take in an event. Raises Refused or ServerFailure if it tells of an error."""
        if kind == "error" or piece.get("error") or piece.get("object") == "error":
            raise told_late(piece.get("error") or piece)
        if isinstance(piece.get("usage"), Mapping):
            self._usage = piece["usage"]
        for each in piece.get("choices") or ():
            if not each.get("index"):
                self._add(each, moment)

    def together(self) -> Streamed:
        """The reply. Raises ServerFailure if it is not all there."""
        texts = {name: "".join(parts) for name, parts in self._texts.items()}
        if self._choice and not self.is_over:
            raise ServerFailure("a stream that breaks off")
        if self._choice:
            said = {"message": texts} if self._is_chat else {"text": texts["content"]}
            self._choice |= {**said, "logprobs": self._logprobs or None}
        choices = [self._choice] if self._choice else []
        value = Streamed({"choices": choices, "usage": self._usage}, self._marks, self._end)
        choice(value)
        return value

    def _add(self, each: Mapping[str, Any], moment: float) -> None:
        self._is_chat |= "delta" in each or "message" in each
        said = each.get("delta", each.get("message")) or {}
        text, inside = joined(said.get("content") if self._is_chat else each.get("text"))
        thoughts = [joined(said.get(name))[0] for name in THOUGHTS]
        thoughts[0] = thoughts[0] or inside
        for name, part in zip(("content", *THOUGHTS), (text, *thoughts), strict=True):
            self._texts[name].append(part)
        for name, values in (each.get("logprobs") or {}).items():
            self._logprobs.setdefault(name, []).extend(values or ())
        if text:
            self._length += len(text)
            self._marks.append((self._length, moment))
        self._choice.setdefault("finish_reason", None)
        if each.get("finish_reason"):
            self._choice["finish_reason"], self.is_over = each["finish_reason"], True
        self._end = moment


def _received(response: Any, patience: float | None) -> Iterator[bytes]:
    """A reply's bytes as they come; closed at their end. Raises ServerFailure if they stop."""
    start = monotonic()
    # The client's own library: httpx, or what has followed it.
    broken = import_module(type(response).__module__.partition(".")[0]).HTTPError
    try:
        for chunk in response.iter_bytes():
            # Lines that only keep a connection alive do not keep a question alive.
            if patience is not None and monotonic() - start > patience:
                raise ServerFailure("no reply in time", crowded=True)
            yield chunk
    except broken as error:
        late = "Timeout" in type(error).__name__
        words = "no reply in time" if late else f"connection lost ({type(error).__name__})"
        raise ServerFailure(words, crowded=late) from None
    finally:
        response.close()


def _read_to_the_end(received: Iterator[bytes]) -> None:
    # The reply is there; what happens to the connection now, be it closed, is no fault of it.
    with suppress(Exception):
        for _ in received:
            pass
