"""Interrupts: Ctrl-C ends a command within seconds, a second one at once, whatever holds it up.

Python acts on Ctrl-C between two steps of its main thread, where a long call of a library has none,
and as it ends it waits for all threads, of which one may wait for a server. Then a thread of its
own ends the process, as a kill would: what a run has written is kept.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic

import typer

from harness.boards.ending import end

PATIENCE = 1.0
"""Seconds that an interrupted command has to end by itself."""
INTERRUPTED = 130
STOPPED = "stopped; the same command continues where it was"
_SHOW_CURSOR = "\x1b[?25h"
_INTERRUPT, _OVER = bytes([signal.SIGINT]), b"\0"
_told = Event()


@contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """Have Ctrl-C end this process, from the main thread; not where it is to be ignored.

    Once it came, the process ends even if the block does: threads of it may be left.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    _told.clear()
    heard, tell = os.pipe()
    os.set_blocking(tell, False)
    before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    ending = Event()
    watch = Thread(target=_end_when_interrupted, args=(heard, ending), daemon=True)
    watch.start()
    try:
        yield
    finally:
        if not ending.is_set():
            os.write(tell, _OVER)
            watch.join()
            signal.set_wakeup_fd(before)
            os.close(tell)
            os.close(heard)


def tell_interrupted(line: str = STOPPED) -> None:
    """Say that the command was stopped."""
    _told.set()
    typer.echo(line, err=True)


def _end_when_interrupted(heard: int, ending: Event) -> None:
    while (signalled := os.read(heard, 1)) != _INTERRUPT:
        if signalled == _OVER:
            return
    ending.set()
    deadline = monotonic() + PATIENCE
    while select.select([heard], [], [], max(0.0, deadline - monotonic()))[0]:
        if os.read(heard, 1) == _INTERRUPT:
            break
    if not _told.is_set():
        shown = _SHOW_CURSOR if os.isatty(2) else ""
        os.write(2, f"{shown}{STOPPED}\n".encode())
    end()
    os._exit(INTERRUPTED)
