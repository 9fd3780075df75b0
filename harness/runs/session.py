"""Session of a run: what it takes is put down while it goes on, so that a kill costs seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.runs.performance import Throughput, read_performance, update_performance

if TYPE_CHECKING:
    from harness.llm.base import LanguageModel

NOTED_EVERY = 5.0
"""Seconds between two notes; one takes some milliseconds."""


class Session:
    """Adds, in performance.json, what this session takes to what earlier ones took.

    A context manager, which also counts the requests that were sent again meanwhile. Without
    ``timed`` the time of answering is not recorded.
    """

    def __init__(self, folder: Path, llm: LanguageModel, *, timed: bool = True) -> None:
        self._folder, self._llm, self._timed = folder, llm, timed
        self._retries = read_performance(folder).retries or 0
        self._retries_before = llm.retries

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._put({})

    @contextmanager
    def answering(self, answers: Callable[[], int]) -> Iterator[Callable[[], None]]:
        """Take the time of the block in which ``answers()`` counts what was answered.

        Gives what is to be called now and then, and puts down questions and seconds together.
        """
        before = read_performance(self._folder).throughput or Throughput(questions=0, seconds=0.0)
        start = noted = monotonic()

        def put() -> None:
            nonlocal noted
            noted = monotonic()
            total = Throughput(
                questions=before.questions + answers(),
                seconds=round(before.seconds + noted - start, 3),
            )
            self._put({"throughput": total} if self._timed and answers() else {})

        def note() -> None:
            if monotonic() - noted >= NOTED_EVERY:
                put()

        try:
            yield note
        finally:
            put()

    def _put(self, parts: dict[str, Any]) -> None:
        if self._llm.retries > self._retries_before:
            parts["retries"] = self._retries + self._llm.retries - self._retries_before
        if parts:
            update_performance(self._folder, **parts)


@contextmanager
def every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """Call now and then, in a thread of its own, while the block is at work; and at its end."""
    over = Event()

    def work() -> None:
        while not over.wait(seconds):
            with suppress(HarnessError):  # at the end it is told
                call()

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        call()
