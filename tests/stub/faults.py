"""Faults of a server, by name, and the schedules by which single requests meet them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class Question(Protocol):
    """A request as a schedule sees it."""

    text: str
    before: int
    """How often the same text came before."""


@dataclass(frozen=True)
class Fault:
    """What is sent instead of an answer; nothing at all where ``drops``."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    drops: bool = False
    delay: float = 0.0
    """Seconds before anything is sent."""
    missing: int = 0
    """Bytes that the header promises and that never come."""


def _error(status: int, message: str, **more: Any) -> Fault:
    return Fault(status, json.dumps({"error": {"message": message, **more}}).encode())


_PAGE = b"<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>"
_HALF = b'{"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "cont'
FAULTS: dict[str, Fault] = {
    "429": _error(429, "too many requests"),
    "429 with Retry-After": Fault(
        429, b'{"error": {"message": "slow down"}}', headers={"Retry-After": "0"}
    ),
    "500": _error(500, "internal error"),
    "502 as a page": Fault(502, _PAGE, "text/html"),
    "503": _error(503, "overloaded"),
    "drop": Fault(drops=True),
    "half a document": Fault(200, _HALF),
    "body that breaks off": Fault(200, _HALF, missing=100),
    "page with status 200": Fault(200, _PAGE, "text/html"),
    "error with status 200": _error(200, "upstream failed", code=502),
    "error text with status 200": Fault(200, b'{"error": "out of memory"}'),
    "no choice": Fault(200, b'{"id": "1", "choices": []}'),
    "no message": Fault(200, b'{"choices": [{"finish_reason": "stop", "message": null}]}'),
    "odd shapes": Fault(
        200,
        b'{"choices": [{"text": "", "message": {"content": ""}, "logprobs": {"content": [7]}}]}',
    ),
    "given up": Fault(
        200,
        b'{"choices": [{"finish_reason": "abort", "text": "", "message": {"content": "Par"}}]}',
    ),
}
"""All but the timeout, which depends on the client's patience: ``Fault(drops=True, delay=…)``."""
REFUSAL = _error(400, "bad request")
"""For good, and without a word on why."""


@dataclass(frozen=True)
class Once:
    """The first request of each text meets a fault, in turn those listed."""

    faults: Sequence[Fault]

    def __call__(self, asked: Question) -> Fault | None:
        """The fault of a request, if it meets one."""
        return self.faults[asked.before] if asked.before < len(self.faults) else None


@dataclass
class Lasting:
    """Every request whose text holds one of ``texts`` meets the fault, until it is healed."""

    fault: Fault
    texts: Sequence[str] = ("",)
    healed: bool = False

    def __call__(self, asked: Question) -> Fault | None:
        """The fault of a request, if it meets one."""
        hit = any(text in asked.text for text in self.texts)
        return self.fault if hit and not self.healed else None


@dataclass
class Seeded:
    """By a hash of seed and text: a share of texts meets a fault once, another one until healed.

    Whatever the order of requests, the same texts meet the same faults.
    """

    seed: int
    share: float = 0.3
    lasting: float = 0.0
    kinds: Sequence[Fault] = tuple(FAULTS.values())
    healed: bool = False

    def __call__(self, asked: Question) -> Fault | None:
        """The fault of a request, if it meets one."""
        digest = hashlib.sha256(f"{self.seed} {asked.text}".encode(errors="replace")).digest()
        fault = self.kinds[digest[0] % len(self.kinds)]
        draw = int.from_bytes(digest[1:5]) / 2**32
        if draw < self.lasting:
            return None if self.healed else fault
        return fault if asked.before == 0 and draw < self.lasting + self.share else None
