"""What a model meant by a list: JSON as far as it is whole, in whatever it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

Triple = tuple[str, str, str]

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_INNER = re.compile(r"\[[^\[\]]*\]")


def parse_entities(reply: str) -> list[str] | None:
    """Texts of the first list, each once; of a list that is cut off, those that are whole.

    None if there is no list: the reply says nothing that can be used.
    """
    start = reply.find("[")
    if start < 0:
        return None
    end = reply.find("]", start)
    texts = _strings(reply[start : end + 1] if end >= 0 else reply[start:])
    return list(dict.fromkeys(filter(None, map(str.strip, texts))))


def parse_triples(reply: str) -> tuple[list[Triple], int]:
    """Lists of three texts, each once, and how many lists are not of three.

    A reply without any list counts as one that is not.
    """
    found: list[Triple] = []
    wrong = 0
    lists = list(_lists(reply))
    for each in lists:
        texts = [text.strip() for text in each]
        if len(texts) == 3 and all(texts):
            found.append((texts[0], texts[1], texts[2]))
        else:
            wrong += 1
    is_empty_list = re.search(r"\[\s*\]", reply) is not None
    return list(dict.fromkeys(found)), wrong if lists or is_empty_list else 1


def _lists(reply: str) -> Iterator[list[str]]:
    for match in _INNER.finditer(reply):
        if texts := _strings(match[0]):
            yield texts


def _strings(text: str) -> list[str]:
    try:
        values = json.loads(text)
    except ValueError:
        values = [_unescaped(match[1]) for match in _STRING.finditer(text)]
    return [_as_text(value) for value in values if not isinstance(value, list | dict)]


def _unescaped(text: str) -> str:
    try:
        value: str = json.loads(f'"{text}"')
    except ValueError:
        return text
    return value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
