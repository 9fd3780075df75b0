"""Adaptation: parameters that a server refuses are sent in another form, or no longer.

Only what the server's error names is changed, once for all later requests. What the user asked
for by name (arguments of the chat template) is never left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from threading import Lock
from typing import Any

from harness.llm.server.failures import Refused
from harness.llm.thoughts import SWITCHES

DROPPABLE = ("seed", "stop", "top_p", "temperature")
"""What a request can do without: stop strings are cut here in any case."""
NEARLY_GREEDY = 0.01
"""For servers that want a temperature above 0 (TGI); the least that vLLM takes unchanged."""
_STATUSES = frozenset({400, 422, 500, 501})
_LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"
_TEMPLATE, _EFFORT = "chat_template_kwargs", "reasoning_effort"
_ABOVE_ZERO = re.compile(r"positive|greater|above|larger|more than|> ?0", re.I)
_UNKNOWN = re.compile(
    r"unsupported|unknown|unrecogni[sz]ed|not (permitted|supported|allowed)", re.I
)


class Adaptation:
    """What one model's servers refused so far; threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._dropped: set[str] = set()
        self._renamed = self._floored = self._by_effort = False

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request's body in the form that is known to be taken."""
        sent = {key: value for key, value in body.items() if key not in self._dropped}
        if self._floored and sent.get("temperature") == 0:
            sent["temperature"] = NEARLY_GREEDY
        if self._renamed and _LIMIT in sent:
            sent[_NEW_LIMIT] = sent.pop(_LIMIT)
        if self._by_effort and _TEMPLATE in sent:
            sent[_EFFORT] = "medium" if sent.pop(_TEMPLATE)[SWITCHES[0]] else "none"
        return sent

    def learn(self, refused: Refused, sent: dict[str, Any]) -> bool:
        """Take note of what an error names; whether the request can be sent in another form."""
        if refused.status not in _STATUSES:
            return False
        with self._lock:
            # Requests side by side are refused together; the first has told it.
            if self.apply(sent) != sent:
                return True
            learnt = [self._learn(name, refused, sent) for name in named(refused, list(sent))]
            return any(learnt)

    @property
    def names(self) -> list[str]:
        """What is no longer sent as it was, for the record: ``seed``, ``temperature 0 as 0.01``."""
        changed = set(self._dropped)
        if self._renamed:
            changed.add(f"{_LIMIT} as {_NEW_LIMIT}")
        if self._floored and "temperature" not in self._dropped:
            changed.add(f"temperature 0 as {NEARLY_GREEDY}")
        if self._by_effort:
            changed.add(f"{_TEMPLATE} as {_EFFORT}")
        return sorted(changed)

    def _learn(self, name: str, refused: Refused, sent: dict[str, Any]) -> bool:
        if name == _LIMIT:
            unknown = name in refused.fields and _UNKNOWN.search(refused.words)
            if _NEW_LIMIT not in refused.words and not unknown:
                return False
            self._renamed = True
        elif name == "temperature" and sent[name] == 0 and _ABOVE_ZERO.search(refused.words):
            self._floored = True
        elif name == _TEMPLATE and set(sent[name]) == set(SWITCHES):
            self._by_effort = True
        elif name in DROPPABLE:
            self._dropped.add(name)
        else:
            return False
        return True


def named(refused: Refused, parameters: Sequence[str]) -> list[str]:
    """Those of a request's parameters that an error names."""
    if refused.fields:
        return [name for name in parameters if name in refused.fields]
    return [name for name in parameters if _mentions(refused.words, name)]


def _mentions(words: str, name: str) -> bool:
    quoted = rf"['\"`]{name}['\"`]"
    if name != "stop":
        return bool(re.search(rf"{quoted}|(?<![\w-]){name}(?![\w-])", words))
    # A word of every day, too.
    kind = r"(?:parameter|argument|field|option|property|input|extra)s?"
    patterns = [quoted, rf"{kind}\W+(?:\w+\W+)?stop\b", rf"\bstop\s+{kind}", r"\bstop(:| is| must)"]
    return any(re.search(pattern, words, re.I) for pattern in patterns)
