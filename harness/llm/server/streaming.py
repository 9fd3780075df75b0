"""Streaming: replies asked for as streams while time is taken, whatever a server makes of it.

A server that refuses ``stream_options`` is asked without them; one that refuses streams, ignores
the wish or sends broken ones is asked for whole replies, and no moment of a first token is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from harness.llm.server.failures import Refused, ServerFailure
from harness.llm.server.replies import Streamed
from harness.llm.server.transport import Ask
from harness.llm.server.window import exceeded

_FORMS: tuple[dict[str, Any], ...] = (
    {"stream": True, "stream_options": {"include_usage": True}},
    {"stream": True},
    {},
)
_WHOLE = len(_FORMS) - 1
# A stream that broke may be the network's fault; two of one request are the server's.
_ENOUGH = 2


class Streaming:
    """What is known of one model's streams; threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.is_open = False
        self.form = 0
        """The best form of a request that is not known to be in vain."""
        self.has_streamed = False
        self._streamed = self._whole = 0
        self._why = ""

    @contextmanager
    def open(self) -> Iterator[None]:
        """Ask for streams meanwhile, and count what comes."""
        self._streamed = self._whole = 0
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False

    @property
    def told(self) -> str:
        """Which of the replies that were counted last came as streams."""
        if not self._whole:
            return "all replies" if self._streamed else ""
        every = self._streamed + self._whole
        which = f"{self._streamed} of {every}" if self._streamed else "none of the"
        return f"{which} replies; whole ones for {self._why}"

    def request(self) -> Request:
        """A request that is about to be tried."""
        return Request(self)

    def note(self, form: int, value: dict[str, Any], why: str, lasting: bool) -> None:
        """Take note of a reply, and of ``why`` it was not asked for in a better form."""
        with self._lock:
            if isinstance(value, Streamed):
                self._streamed += 1
                self.form, self.has_streamed = form, True
                return
            self._whole += 1
            if form != _WHOLE:
                why, lasting = "JSON in place of a stream", True
            self._why = why or self._why
            if lasting:
                self.form = _WHOLE


class Request:
    """One request, in all its tries."""

    def __init__(self, streaming: Streaming) -> None:
        self._streaming = streaming
        self._failed, self._why, self._lasting = 0, "", False

    def __call__(self, ask: Ask) -> dict[str, Any]:
        """One try. Raises ServerFailure, or Refused for what is refused in whole replies, too."""
        known = self._streaming
        if not known.is_open:
            return ask({})
        first = known.form if self._failed < _ENOUGH else _WHOLE
        for form in range(first, _WHOLE):
            try:
                return self._noted(form, ask(_FORMS[form]))
            except Refused as refused:
                # Where streams are known to be taken, it is something else.
                if known.has_streamed or exceeded(refused):
                    raise
                self._why, self._lasting = f"a refusal ({refused.words})", True
            except ServerFailure as failure:
                self._failed += 1
                self._why, self._lasting = failure.words, failure.in_stream
                raise
        return self._noted(_WHOLE, ask({}))

    def _noted(self, form: int, value: dict[str, Any]) -> dict[str, Any]:
        self._streaming.note(form, value, self._why, self._lasting)
        return value
