"""Events of a stream: server-sent events (WHATWG HTML, section 9.2) as servers of models send them.

Taken beside the standard: a last event that no empty line ends, and the field ``error`` of
llama.cpp until autumn 2025.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_END = re.compile(rb"\r\n|\n|\r")
_ERROR = "error"


def events(chunks: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Kind and data of every event with data, once its end is there; ``chunks`` may cut anything.

    Raises UnicodeDecodeError for what is not UTF-8.
    """
    kind, data = "", []
    for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == _ERROR:
            kind, data = _ERROR, [value]
        elif name == "event":
            kind = value
        elif not line:
            if any(data):
                yield kind, "\n".join(data)
            kind, data = "", []
    if any(data):
        yield kind, "\n".join(data)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines: a character's bytes may come in two chunks, and so may the ends of lines."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        # The line feed after a carriage return may be yet to come.
        held = rest[-1:] if rest.endswith(b"\r") else b""
        *whole, last = _END.split(rest.removesuffix(held))
        rest = last + held
        yield from (line.decode() for line in whole)
    yield from (line.decode() for line in _END.split(rest))
