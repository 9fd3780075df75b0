"""A secret, such as a server's key, kept out of what a server says: it may repeat what it was sent.

Also in the forms that a page or a log of a server may give it: base64, as part of a URL, as HTML.
"""

from __future__ import annotations

import logging
import os
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

SHORTEST = 16
"""Characters of a key that is looked for in replies, and in other forms. A shorter one may be a
word (``EMPTY``), or a part of one."""
HIDDEN = "***"


class Secret:
    """Keys, each in all its forms; without any, nothing is changed."""

    def __init__(self, *keys: str) -> None:
        self._long = _forms(key for key in keys if len(key) >= SHORTEST)
        self._all = (*self._long, *(key for key in keys if 0 < len(key) < SHORTEST))

    @classmethod
    def of_variables(cls, *names: str) -> Secret:
        """What these environment variables hold."""
        return cls(*(os.environ.get(name, "").strip() for name in names))

    def out_of(self, words: str) -> str:
        """A server's words without it, for messages."""
        return _without(self._all, words)

    def out_of_reply(self, value: Any) -> Any:
        """A reply, a JSON value that is changed in its place, or a text."""
        if not self._long:
            return value
        top = [value]
        inside: list[Any] = [top]
        while inside:
            holder = inside.pop()
            for key, each in list(
                holder.items() if isinstance(holder, dict) else enumerate(holder)
            ):
                if isinstance(each, dict | list):
                    inside.append(each)
                elif isinstance(each, str):
                    holder[key] = _without(self._long, each)
                if isinstance(key, str) and (shown := _without(self._long, key)) != key:
                    holder[shown] = holder.pop(key)
        return top[0]


_CLIENTS = frozenset(
    {"aiohttp", "anthropic", "httpcore", "httpcore2", "httpx", "httpx2", "lm_eval", "openai"}
    | {"requests", "urllib3"}
)
_logged: list[Secret] = []


def keep_out_of_logs(secret: Secret) -> None:
    """Have the libraries that speak with servers log nothing with it, at any level.

    They hide a request's key themselves, but log a reply's headers, and some its text.
    """
    _logged.append(secret)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _CLIENTS:
            logging.getLogger(name).addFilter(_hide)


def _hide(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    for secret in _logged:
        text = secret.out_of(text)
    record.msg, record.args = text, ()
    return True


def _forms(keys: Iterable[str]) -> tuple[str, ...]:
    """The longest first: what is left of one must not show a part of another."""
    found = set()
    for key in keys:
        found |= {key, quote(key), quote(key, safe=""), quote_plus(key), escape(key)}
        for before in range(3):  # base64 takes three bytes at a time, wherever a key begins
            data = b"\0" * before + key.encode("utf-8", "surrogateescape")
            first, last = (before * 8 + 5) // 6, len(data) * 8 // 6
            found |= {
                b64encode(data).decode()[first:last],
                urlsafe_b64encode(data).decode()[first:last],
            }
    return tuple(sorted(found, key=len, reverse=True))


def _without(forms: tuple[str, ...], text: str) -> str:
    for form in forms:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text
