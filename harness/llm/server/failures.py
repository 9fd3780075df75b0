"""Failures of a server, in two kinds: what may pass if asked again, and what it refuses for good.

Told apart by the status, or by the body where the status says 200: an error, a page of HTML, half
a JSON document, no choice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

Read = TypeVar("Read")

# What OpenAI answers with 429 although waiting does not help.
_USED_UP = "insufficient_quota"
PASSING = frozenset({408, 409, 425, 429})
_CROWDED = frozenset({408, 429, 503, 504})
_NOT_IMPLEMENTED = 501
# How a choice ends that the server gave up (vLLM and SGLang, OpenRouter).
_GIVEN_UP = frozenset({"abort", "error"})
# What some servers (llama.cpp) say with status 500: asking again does not help.
_NEVER = re.compile(
    r"\b(not|isn't) (supported|implemented)|only .{0,40}\bsupported|unsupported|"
    r"context (size|length|window)",
    re.I,
)
_SHOWN = 300
LONGEST_WAIT = 120.0
"""Seconds: who is asked to wait longer gives up for now."""


class ServerFailure(Exception):
    """The server failed; the same request may succeed later."""

    def __init__(
        self,
        words: str,
        *,
        retry_after: float | None = None,
        crowded: bool = False,
        lasting: bool = False,
        unreachable: bool = False,
        in_stream: bool = False,
    ) -> None:
        super().__init__(words)
        self.words = words
        self.retry_after = retry_after
        """Seconds that the server asks to wait."""
        self.crowded = crowded
        """Fewer requests at once may help."""
        self.lasting = lasting
        """Asking again does not help now, only later."""
        self.unreachable = unreachable
        """Nothing listens there."""
        self.in_stream = in_stream
        """A reply had begun that came as a stream."""


class Refused(Exception):
    """The server will not do what a request asks, however often it is asked."""

    def __init__(self, status: int, words: str, fields: tuple[str, ...], body: Any) -> None:
        super().__init__(words)
        self.status, self.words = status, words
        self.fields = fields
        """Parameters that the error names by a field of its own; empty if it has none."""
        self.body = body


def answer(call: Callable[[], object]) -> dict[str, Any]:
    """What a call of the openai client returns, a JSON object. Raises ServerFailure or Refused."""
    import openai

    try:
        value = call()
    except openai.APITimeoutError as error:
        absent = type(error.__cause__).__name__ == "ConnectTimeout"
        raise ServerFailure("no reply in time", crowded=True, unreachable=absent) from None
    except openai.APIConnectionError as error:
        kind = type(error.__cause__).__name__
        raise ServerFailure(
            f"connection lost ({kind})", unreachable=kind == "ConnectError"
        ) from None
    except openai.APIStatusError as error:
        raise of_status(error.status_code, error.body, error.response.headers) from None
    except openai.OpenAIError as error:
        raise ServerFailure(type(error).__name__) from None
    except ValueError:
        raise ServerFailure("a JSON document that breaks off") from None
    if not isinstance(value, dict):
        raise ServerFailure(f"no JSON but {_line(value, 60)!r}")
    if value.get("error") and not value.get("choices"):
        raise told_late(value["error"])
    return value


def choice(value: Mapping[str, Any]) -> dict[str, Any]:
    """The first choice of a completion. Raises ServerFailure if there is none."""
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ServerFailure("a reply without any choice")
    first: dict[str, Any] = choices[0]
    if str(first.get("finish_reason")) in _GIVEN_UP:
        raise ServerFailure(f"the server gave the reply up ({first['finish_reason']})")
    return first


def understood(read: Callable[[dict[str, Any]], Read], value: dict[str, Any]) -> Read:
    """What ``read`` finds in an answer. Raises ServerFailure if it is of no known shape."""
    try:
        return read(value)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ServerFailure(f"a reply of an unknown shape ({type(error).__name__})") from None


def of_status(
    status: int, body: Any, headers: Mapping[str, str] | None = None
) -> ServerFailure | Refused:
    """The kind of failure that an HTTP status and its error body mean."""
    words, fields = _told(body)
    never = status == _NOT_IMPLEMENTED or (status == 500 and _NEVER.search(words))
    if status in PASSING or (status >= 500 and not never):
        wait = asked_to_wait(headers or {})
        used_up = _USED_UP in (_field(body, "code"), _field(body, "type"))
        return ServerFailure(
            f"HTTP {status}: {words}" if words else f"HTTP {status}",
            retry_after=wait,
            crowded=status in _CROWDED,
            lasting=used_up or (wait or 0.0) > LONGEST_WAIT,
        )
    return Refused(status, words, fields, body)


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as an HTTP date; None without."""
    text = headers.get("retry-after", headers.get("Retry-After", "")).strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(seconds, 0.0) if seconds < float("inf") else None


def told_late(error: Any) -> ServerFailure | Refused:
    """The kind of failure that an error means which came with status 200, whole or in a stream."""
    code = _field(error, "code")
    if code.isdigit() and 400 <= int(code) < 600:
        return of_status(int(code), error)
    if "invalid" in _field(error, "type").lower():
        return of_status(400, error)
    words, _ = _told(error)
    return ServerFailure(f"an error with status 200: {words}", lasting=code == _USED_UP)


def _told(body: Any) -> tuple[str, tuple[str, ...]]:
    """What an error body says, and the parameters that its own fields name.

    OpenAI has ``param``; FastAPI (vLLM, SGLang, TGI) a list of places in the body, as JSON or as
    text inside the message.
    """
    detail = _get(body, "detail")
    if isinstance(detail, list):
        places = [_get(item, "loc") for item in detail]
        fields = [str(place[-1]) if isinstance(place, list) and place else "" for place in places]
        said = [f"{f}: {_get(item, 'msg') or item}" for f, item in zip(fields, detail, strict=True)]
        return _line("; ".join(said)), tuple(filter(None, fields))
    words = next((_get(body, key) for key in ("message", "detail", "error") if _get(body, key)), "")
    words = _line(words or (body if body is not None else ""), None)
    param = _field(body, "param")
    if param:
        return words[:_SHOWN], (re.split(r"[.\[]", param)[0],)
    inside = re.findall(r"['\"]loc['\"]: [(\[]([^)\]]*)[)\]]", words)
    fields = [place.split(",")[-1].strip(" '\"") or place.strip(" ,'\"") for place in inside]
    return words[:_SHOWN], tuple(fields)


def _get(body: Any, key: str) -> Any:
    return body.get(key) if isinstance(body, dict) else None


def _field(body: Any, key: str) -> str:
    value = _get(body, key)
    return "" if value is None else str(value)


def _line(text: Any, most: int | None = _SHOWN) -> str:
    return " ".join(str(text).split())[:most]
