"""Cache of replies across runs: what a model was asked before is not asked again.

A reply is kept by all that decides it (reply_keys.py) where the model can tell that
(``LanguageModel.reply_key``). What is taken from here is what the model would say, to the byte; of
a server, what it said when it was asked, so the last day of that is counted, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any

from harness.files import cache_place
from harness.fingerprint import fingerprint
from harness.llm.base import LanguageModel
from harness.llm.reply_keys import Request, Result, read, written
from harness.llm.reply_store import Entry, ReplyStore

Work = Callable[[Sequence[Any]], Iterator[tuple[int, Any]]]


class ReplyCache:
    """The replies of one model that a store keeps, and how often they were of use.

    ``machine``: what computes them, since single floats differ from one kind of processor to
    another; empty of a server.
    """

    def __init__(self, model: LanguageModel, store: ReplyStore, machine: str = "") -> None:
        self.model, self.store, self.machine = model, store, machine
        self.calls, self.cached, self.oldest = 0, 0, ""
        self._lock = Lock()  # a server's model is asked by several threads

    def complete(self, work: Work, requests: Sequence[Request]) -> Iterator[tuple[int, Result]]:
        """The reply to each request by its index, those that nobody knows by ``work``."""
        known = [self.model.reply_key(request) for request in requests]
        keys = [key and fingerprint([key, self.machine]) for key in known]
        found = self.store.get([key for key in keys if key])
        entries = [found.get(key) if key else None for key in keys]
        self._count(entries)
        for index, entry in enumerate(entries):
            if entry is not None:
                yield index, read(requests[index], entry.value)
        left = [index for index, entry in enumerate(entries) if entry is None]
        for place, result in work([requests[index] for index in left]) if left else ():
            if key := keys[left[place]]:
                self.store.put(key, written(result))
            yield left[place], result

    def _count(self, entries: Sequence[Entry | None]) -> None:
        days = [entry.given for entry in entries if entry is not None]
        with self._lock:
            self.calls += len(entries)
            self.cached += len(days)
            self.oldest = min(filter(None, (self.oldest, *days)), default="")

    def used(self) -> dict[str, Any]:
        """Calls, how many of them were not asked, and the day of the oldest of their replies."""
        return {"calls": self.calls, "cached": self.cached, "oldest": self.oldest}


def open_store(megabytes: int) -> ReplyStore:
    """The user's store of replies, of so many MB (10^6 bytes) at most."""
    return ReplyStore(cache_place("replies"), megabytes * 10**6)
