"""Reuse of replies: a run's model is not asked what it answered in an earlier run.

Only where nothing is timed: what comes from a disk says nothing of a model's speed. So a run that
reuses replies records no throughput, its single queries are timed without, and a memory is written
without, too. The manifest says how many of the calls were not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

from harness.engine import Engine
from harness.llm.reply_cache import ReplyCache, open_store
from harness.runs.directory import RunDirectory
from harness.runs.manifest import read_manifest
from harness.runs.session import NOTED_EVERY
from harness.trace import LLM_KINDS


@contextmanager
def reusing(engine: Engine, run: RunDirectory, megabytes: int) -> Iterator[Callable[[], None]]:
    """While open, the engine's model is asked what no run asked before; 0 MB leaves it as it is.

    Gives what is to be called now and then, and puts the counts down.
    """
    if not megabytes:
        yield lambda: None
        return
    before, store = read_manifest(run.folder), open_store(megabytes)
    cache = ReplyCache(engine.llm, store, "" if before.hardware.is_remote else before.hardware.key)
    noted = monotonic()

    def put() -> None:
        nonlocal noted
        noted = monotonic()
        run.change_manifest(replies=_added(before.replies, cache.used()))

    def note() -> None:
        if monotonic() - noted >= NOTED_EVERY:
            put()

    try:
        with _through(engine, cache):
            yield note
    finally:
        store.close()
        put()


@contextmanager
def _through(engine: Engine, cache: ReplyCache) -> Iterator[None]:
    """While open, what the engine asks its model goes through the cache."""
    channels = [engine.channels[kind] for kind in LLM_KINDS]
    plain = [channel.call for channel in channels]
    for channel in channels:
        channel.call = partial(cache.complete, channel.call)
    try:
        yield
    finally:
        for channel, call in zip(channels, plain, strict=True):
            channel.call = call


def _added(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What all sessions of a run came to."""
    oldest = min(filter(None, (before.get("oldest"), now["oldest"])), default="")
    counts = {name: before.get(name, 0) + now[name] for name in ("calls", "cached")}
    return counts | ({"oldest": oldest} if oldest else {})
