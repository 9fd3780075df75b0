"""A watch over an author's code while it runs: its time, and what it does beside its work."""

from __future__ import annotations

import ctypes
import io
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from harness.errors import InputError
from harness.files import expanded
from harness.testing.places import Code, Line, frames

Phase = Literal["import", "write", "load", "revise", "answer"]
Deed = Literal["files", "task", "process", "network", "sleep", "print"]

T = TypeVar("T")

_WRITES = os.O_WRONLY | os.O_RDWR
_OS = ("os.py", "<frozen os>")
_TICK = 0.05
_active: list[Watch] = []


class HungError(Exception):
    """Code that neither ended nor asked for anything in time; the message says where it stood."""


class Watch:
    """What code of one author did while it was watched, by phase, each thing told with its place.

    ``limit`` is how many seconds may pass in which nothing is asked of a model or a retriever,
    whose own work does not count.
    """

    def __init__(self, code: Code, limit: float, own: Path) -> None:
        self.code, self.limit, self.own = code, limit, own
        self.deeds: dict[tuple[Phase, Deed], list[str]] = defaultdict(list)
        self.waiting: Callable[[], list[Line]] = list
        """Lines at which coroutines wait, for the place where code hangs."""
        self.end_loop: Callable[[], None] = lambda: None
        """Ends the event loop of what is asked, if it waits."""
        self._phase: Phase = "import"
        self._thread = 0
        self._clock: int | None = None
        self._idle_since = time.monotonic()
        self._resting = 0

    def beat(self) -> None:
        """Say that the code is getting on."""
        self._idle_since = time.monotonic()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """While open, what happens is the work of a model or a retriever, not the author's."""
        self._resting += 1
        try:
            yield
        finally:
            self._resting -= 1
            self.beat()

    def run(self, phase: Phase, work: Callable[[], T], patience: float = 1) -> T:
        """What ``work`` returns or raises, done in a thread of its own; HungError if it hangs.

        ``patience`` times the limit is what it may take.
        """
        box: list[T] = []
        raised: list[BaseException] = []

        def call() -> None:
            self._clock = _clock()
            try:
                before = _torch_state()
                box.append(work())
                self._changed(before)
            # SystemExit too: a script that was meant to be run ends the import, not the check.
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=call, name="checked", daemon=True)
        printed = io.StringIO()
        self._phase = phase
        self.beat()
        _active.append(self)
        try:
            with redirect_stdout(printed), self._told_of_sleep(), _own_seed():
                thread.start()
                self._thread = thread.ident or 0
                self._join(thread, self.limit * patience)
        finally:
            _active.remove(self)
        if printed.getvalue():
            self.deeds[phase, "print"].append(repr(printed.getvalue()[:60]))
        if raised:
            raise raised[0]
        return box[0]

    def saw(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what an audit event of the interpreter tells, if it is the author's doing."""
        if self._resting:
            return
        if event == "open" and self._writes(*arguments):
            self._note("files", f"wrote {arguments[0]}")
        elif event == "open" and _of_task(arguments[0]):
            self._note("task", f"opened {arguments[0]}")
        elif event == "os.chdir":
            self._note("process", f"changed the working folder to {arguments[0]}")
        elif event in ("os.putenv", "os.unsetenv") and self._set_by_author():
            self._note("process", f"changed the environment variable {os.fsdecode(arguments[0])}")
        elif event in ("socket.connect", "socket.getaddrinfo"):
            host = arguments[1] if event == "socket.connect" else arguments[:2]
            if isinstance(host, tuple):
                self._note("network", f"reached for {host[0]}:{host[1]}")

    @contextmanager
    def _told_of_sleep(self) -> Iterator[None]:
        """``time.sleep`` that says so; as an audit event it is known from Python 3.13 on alone."""
        sleep = time.sleep

        def told(seconds: Any, /) -> None:
            if seconds > 0 and threading.get_ident() == self._thread:
                self._note("sleep", f"slept {seconds:g} s")
            sleep(seconds)

        time.sleep = told
        try:
            yield
        finally:
            time.sleep = sleep

    def _note(self, deed: Deed, what: str) -> None:
        if self.deeds.get((self._phase, deed)):
            return  # the first one is told
        lines = frames(sys._getframe(2))
        own = [index for index, (file, _) in enumerate(lines) if self.code.owns(file)]
        if own and any(file.startswith("<frozen importlib") for file, _ in lines[own[-1] :]):
            return  # a library, while the author's code imports it
        place = self.code.last(lines)
        self.deeds[self._phase, deed].append(f"{what} ({place})")

    def _writes(self, path: Any, _mode: Any, flags: int) -> bool:
        return bool(flags & _WRITES) and not self._allowed(path)

    def _allowed(self, path: Any) -> bool:
        """Its own folders, caches, and what ``tempfile`` made."""
        if isinstance(path, int):
            return True
        place = Path(os.fsdecode(path)).absolute()
        made = Path(tempfile.gettempdir())
        if place.is_relative_to(made) and place != made:
            top = place.relative_to(made).parts[0]
            if top.startswith(tempfile.gettempprefix()):
                return True
        own = [os.environ.get(name) for name in ("MEMORY_HARNESS_CACHE", "HF_HOME")]
        folders = [self.own, Path("/dev"), Path("/proc")]
        for cache in filter(None, [*own, "~/.cache"]):
            with suppress(InputError):  # a user without a home has no cache there
                folders.append(expanded(cache))
        return "__pycache__" in place.parts or any(map(place.is_relative_to, folders))

    def _set_by_author(self) -> bool:
        """Whether the author's own line sets a variable: libraries do so when they are imported."""
        callers = [file for file, _ in frames(sys._getframe(3)) if Path(file).name not in _OS]
        return bool(callers) and self.code.owns(callers[-1])

    def _changed(self, before: dict[str, Any]) -> None:
        for what, value in _torch_state().items():
            if what in before and before[what] != value:
                self.deeds[self._phase, "process"].append(
                    f"changed {what} from {before[what]} to {value}"
                )

    def _join(self, thread: threading.Thread, limit: float) -> None:
        while thread.is_alive():
            thread.join(_TICK)
            idle = time.monotonic() - self._idle_since
            if thread.is_alive() and not self._resting and idle > limit:
                self._give_up(thread, limit)

    def _give_up(self, thread: threading.Thread, limit: float) -> None:
        stack = frames(sys._current_frames().get(thread.ident or 0))
        own = [line for line in stack if self.code.owns(line[0])]
        place = self.code.last(own or self.waiting() or stack)
        # It would burn a processor until the program ends. A call that sleeps stays where it is: an
        # exception that waits for it has CPython 3.11 spin for ever wherever code is traced.
        if self._is_busy():
            ended, ident = ctypes.py_object(SystemExit), ctypes.c_ulong(thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ended)
        else:
            self.end_loop()
        raise HungError(f"nothing happened for {limit:g} seconds at {place}")

    def _is_busy(self) -> bool:
        """Whether the thread takes a processor; True where no clock can tell."""
        if self._clock is None:
            return True
        with suppress(OSError):  # the thread has ended
            before = time.clock_gettime(self._clock)
            time.sleep(_TICK)
            return time.clock_gettime(self._clock) - before > _TICK / 10
        return False


def _clock() -> int | None:
    """The clock of this thread's own processor time, where the system has one."""
    if hasattr(time, "pthread_getcpuclockid"):
        return time.pthread_getcpuclockid(threading.get_ident())
    return None


def _of_task(path: Any) -> bool:
    """Whether a file holds a task's own questions or corpus: ``SPLIT/FILE`` beside a card."""
    place = Path() if isinstance(path, int) else Path(os.fsdecode(path)).absolute()
    return ".jsonl" in place.suffixes and (place.parent.parent / "task.yaml").is_file()


def _torch_state() -> dict[str, Any]:
    """What of torch holds for the whole process, if it was imported."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "initial_seed"):
        return {}
    return {
        "torch's seed": torch.initial_seed(),
        "torch's threads": torch.get_num_threads(),
        "torch's default dtype": torch.get_default_dtype(),
    }


@contextmanager
def _own_seed() -> Iterator[None]:
    """A seed of torch that nobody else would choose, so that choosing one is noticed."""
    torch = sys.modules.get("torch")
    generator = getattr(torch, "default_generator", None)
    if generator is None:
        yield
        return
    state = generator.get_state()
    generator.manual_seed(int.from_bytes(os.urandom(6)))
    try:
        yield
    finally:
        generator.set_state(state)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _active and event in _EVENTS:
        _active[-1].saw(event, arguments)


_EVENTS = frozenset(
    {
        "open", "os.chdir", "os.putenv", "os.unsetenv", "socket.connect",
        "socket.getaddrinfo",
    }
)  # fmt: skip
# An audit hook stays for good: this one looks at nothing while nothing is watched.
sys.addaudithook(_hook)
