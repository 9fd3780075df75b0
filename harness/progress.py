"""Progress: one live bar per run, with done, rate, time left; plain lines where no terminal is.

A bar's steps are also where work that does not await hears Ctrl-C: asyncio answers it by cancelling
a task, which ends at its next await, and a training has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from rich.console import Console

SECONDS_BETWEEN_LINES = 15.0
_whole: ContextVar[asyncio.Task[Any] | None] = ContextVar("_whole", default=None)


def interruptible() -> None:
    """Have bars stop all that the current task, a loop's first one, starts from here on."""
    import asyncio

    _whole.set(asyncio.current_task())


def _heed() -> None:
    """Stop here, by CancelledError, if the loop's first task was cancelled since."""
    whole = _whole.get()
    if whole is not None and whole.cancelling():
        from asyncio import CancelledError

        raise CancelledError


def say(console: Console, text: str) -> None:
    """Print one line as it is: not cut, not wrapped, no markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bar:
    """Counts steps of one piece of work and shows them."""

    def __init__(self, console: Console, label: str, total: int, done: int = 0) -> None:
        self.console, self.label, self.total, self.done = console, label, total, done
        self._started_with, self._start = done, monotonic()
        self._last_line = self._start

    def advance(self, steps: int = 1) -> None:
        """Count finished steps; an interrupted run stops here."""
        _heed()
        self.done += steps
        self._show()

    def _show(self) -> None:
        if monotonic() - self._last_line >= SECONDS_BETWEEN_LINES and self.done < self.total:
            self._last_line = monotonic()
            say(self.console, self.line())

    def line(self) -> str:
        """``label: 40/200, 3.1/s, 52 s left``."""
        rate = self._rate()
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate > 0 else ""
        return f"{self.label}: {self.done}/{self.total}, {_per_second(rate)}{left}"

    def close(self) -> None:
        """Print the final line."""
        seconds = monotonic() - self._start
        say(self.console, f"{self.label}: {self.done}/{self.total} in {seconds:.1f} s")

    def _rate(self) -> float:
        return (self.done - self._started_with) / max(monotonic() - self._start, 1e-9)


class _LiveBar(Bar):
    def __init__(self, console: Console, label: str, total: int, done: int = 0) -> None:
        from rich import progress as rich

        super().__init__(console, label, total, done)
        self._progress = rich.Progress(
            rich.TextColumn("{task.description}", markup=False),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TextColumn("{task.fields[rate]}"),
            rich.TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._progress.start()
        self._task = self._progress.add_task(label, total=total, completed=done, rate="")

    def _show(self) -> None:
        shown = _per_second(self._rate())
        self._progress.update(self._task, completed=self.done, rate=shown)

    def close(self) -> None:
        self._progress.stop()
        super().close()


class CallbackBar:
    """A bar for work that reports ``(done, total)`` itself; shown only if it reports anything."""

    def __init__(self, console: Console, label: str) -> None:
        self.console, self.label = console, label
        self._bar: Bar | None = None

    def __enter__(self) -> CallbackBar:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps are finished."""
        if self._bar is None:
            self._bar = _open(self.console, self.label, total, done)
        self._bar.advance(done - self._bar.done)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _per_second(rate: float) -> str:
    return f"{rate:.2g}/s" if rate < 10 else f"{rate:.0f}/s"


def _open(console: Console, label: str, total: int, done: int) -> Bar:
    return (_LiveBar if console.is_terminal else Bar)(console, label, total, done)


@contextmanager
def bar(console: Console, label: str, total: int, done: int = 0) -> Iterator[Bar]:
    """Show progress of ``total`` steps, ``done`` of them from an earlier session."""
    shown = _open(console, label, total, done)
    try:
        yield shown
    finally:
        shown.close()


def quiet_libraries() -> None:
    """Silence transformers' loading bars and bitsandbytes' notice about an optional kernel."""
    import logging

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
