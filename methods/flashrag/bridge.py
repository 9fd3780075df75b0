"""A bridge between FlashRAG's pipelines, which call and wait, and the engine's coroutines.

A pipeline runs in a greenlet: where it wants a model or a retriever, it steps aside, and the
coroutine that runs it awaits them. The engine thus sees a method like any other, whose calls it
batches, records and times; there are no threads.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import TextIOBase
from typing import Any, TypeVar

T = TypeVar("T")


class _Nowhere(TextIOBase):
    """A stream that keeps nothing: pipelines print, and draw bars, for every question."""

    def write(self, text: str) -> int:
        """Forget a text."""
        return len(text)


_NOWHERE = _Nowhere()


async def run_sync(work: Callable[[], T]) -> T:
    """Run a plain function whose ``wait_for`` suspends this coroutine; what it prints is dropped.

    An exception of what it waits for is raised in the function, at its ``wait_for``.
    """
    from greenlet import GreenletExit, greenlet

    side = greenlet(work)
    step: Callable[[], Any] = side.switch
    while True:
        with _silent():
            wanted = step()
        if side.dead:
            result: T = wanted
            return result
        try:
            received = await wanted
        except Exception as error:
            step = partial(side.throw, error)
        except BaseException:
            # Cancelled: no ``except:`` of the function may keep it going.
            with _silent():
                side.throw(GreenletExit)
            raise
        else:
            step = partial(side.switch, received)


def wait_for(awaitable: Awaitable[T]) -> T:
    """What an awaitable gives, inside a function that ``run_sync`` runs."""
    from greenlet import getcurrent

    outside = getcurrent().parent
    if outside is None:
        raise RuntimeError("wait_for() is for functions that run_sync() runs")
    result: T = outside.switch(awaitable)
    return result


@contextmanager
def untouched() -> Iterator[None]:
    """The environment and faiss's threads stay as they are: importing FlashRAG changes both."""
    import faiss

    environment, threads = dict(os.environ), faiss.omp_get_max_threads()
    try:
        yield
    finally:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        faiss.omp_set_num_threads(threads)


@contextmanager
def _silent() -> Iterator[None]:
    with redirect_stdout(_NOWHERE), redirect_stderr(_NOWHERE):
        yield
