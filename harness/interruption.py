"""Interruption of work that does not await: what a task is asked by Ctrl-C, it hears at a step.

asyncio answers Ctrl-C by cancelling a task, which ends at its next await; a training has none.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_whole: ContextVar[asyncio.Task[Any] | None] = ContextVar("_whole", default=None)


def interruptible() -> None:
    """Have ``heed`` stop all that the current task, a loop's first one, starts from here on."""
    import asyncio

    _whole.set(asyncio.current_task())


def heed() -> None:
    """Stop here, by CancelledError, if the loop's first task was cancelled since."""
    whole = _whole.get()
    if whole is not None and whole.cancelling():
        from asyncio import CancelledError

        raise CancelledError
