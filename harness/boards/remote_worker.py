"""The worker on another machine (``remote``): answers what it is handed, and keeps no answer.

It plans the board anew. Run ids are hashes of all that decides predictions, so where they are those
of the process that hands out, corpora, models and methods are the same. Nothing is opened before.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from io import StringIO
from pathlib import Path
from queue import Empty, Queue, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import ConfigError, HarnessError, describe_error
from harness.runs.carried import Arriving, Piece
from harness.runs.handed import Tell

if TYPE_CHECKING:
    from harness.runs.plan import RunPlan

Event = tuple[str, Any]
"""Name and value. Beside those of ``runs.handed``: ``ready`` (the machine), ``said`` (a line),
``failed`` (why a run stopped), ``refused`` (why the worker can do nothing)."""
AT_ONCE = 64
UNHEARD = 256
LISTENS = 2.0
"""Seconds in which a worker that has nothing to tell says so."""


class Handful(NamedTuple):
    """Questions of a run, by their ids. ``is_begun``: the run has answers."""

    run_id: str
    question_ids: tuple[str, ...]
    is_begun: bool = False


class RemoteWorker:
    """Works in a thread of its own, so that it can be listened to meanwhile."""

    def __init__(self, request: str) -> None:
        self._request: dict[str, Any] = json.loads(request)
        self._folder = TemporaryDirectory(prefix="memory-harness-")
        self._here = Path(self._folder.name)
        self._arriving: dict[str, Arriving] = {}
        self._handed: SimpleQueue[Handful | None] = SimpleQueue()
        self._told: Queue[Event] = Queue(UNHEARD)
        Thread(target=self._work, daemon=True).start()

    def hand(self, handful: tuple[str, tuple[str, ...], bool]) -> None:
        """Have these questions answered."""
        self._handed.put(Handful(*handful))

    def keep(self, place: str, piece: Piece) -> None:
        """Take a piece of a memory, whose ``place`` is relative to the runs."""
        if place not in self._arriving:
            self._arriving[place] = Arriving(self._here / place)
        self._arriving[place].take(piece)

    def listen(self) -> list[Event]:
        """What happened since the last time; waits for something."""
        events: list[Event] = []
        with suppress(Empty):
            events.append(self._told.get(timeout=LISTENS))
            while len(events) < AT_ONCE:
                events.append(self._told.get_nowait())
        return events

    def leave(self) -> None:
        """Remove what the worker had on its disk."""
        self._handed.put(None)
        self._folder.cleanup()

    def _work(self) -> None:
        def tell(what: str, value: Any) -> None:
            self._told.put((what, value))

        try:
            serve(self._request, iter(self._handed.get, None), self._here, tell)
        except HarnessError as error:
            tell("refused", f"machine {socket.gethostname()}: {error}")
        except BaseException as error:  # else whoever listens would wait for ever
            tell("refused", f"machine {socket.gethostname()}: {describe_error(error)}")


def serve(request: Mapping[str, Any], handed: Iterable[Handful], here: Path, tell: Tell) -> None:
    """Answer one handful after the other. Raises HarnessError before the first, if none can be."""
    from rich.console import Console

    from harness.boards.retrievers import Retrievers
    from harness.boards.worker import Models
    from harness.llm.powers import allow
    from harness.runs.handed import Teller, answer_handed

    allow(request["allowed"])
    if Path(request["folder"]).is_dir():  # paths of the board begin there
        os.chdir(request["folder"])
    plans = check(request)
    console, replies = Console(file=_Said(tell), width=200), here / ".replies"
    replies.mkdir()
    retrievers, models = Retrievers(console), Models({**request, "replies": replies})
    tell("ready", _machine())
    for handful in handed:
        plan = plans[handful.run_id]
        keeper = Teller(plan.config.folder(Path(request["root"])), tell, is_begun=handful.is_begun)
        try:
            llm, _ = models.of(plan)
            retriever, ids = retrievers.open(plan).retriever, handful.question_ids
            answer_handed(plan, ids, keeper, here, llm, retriever, console, tell)
        except HarnessError as error:
            tell("failed", str(error))


def check(request: Mapping[str, Any]) -> dict[str, RunPlan]:
    """The board's runs by id, if this machine has what they are made of. Raises HarnessError."""
    from harness.boards.worker import plans_of
    from harness.runs.provenance import harness_version

    asked, here = request["harness"], harness_version()
    if asked["version"] != here["version"] or (
        asked["git_commit"] and here["git_commit"] and asked["git_commit"] != here["git_commit"]
    ):
        raise ConfigError(
            f"memory-harness {_text(here)} is installed, the board is run by {_text(asked)}; "
            "install the same"
        )
    plans = plans_of(request)
    for run_id, (label, config) in request["runs"].items():
        if run_id not in plans:
            raise ConfigError(
                f"run '{label}' is another one there ({_difference(config, plans)} differs); give "
                "the machine the same files, models and packages"
            )
    return plans


def _difference(config: Mapping[str, Any], plans: Mapping[str, RunPlan]) -> str:
    """Dotted names of the settings in which the most similar run differs."""
    asked = dict(_flat(config))
    found: list[list[str]] = []
    for plan in plans.values():
        there = dict(_flat(plan.config.written()))
        found.append([k for k in {**asked, **there} if asked.get(k) != there.get(k)])
    found.sort(key=len)
    return ", ".join(sorted(found[0])) if found else "everything"


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            # As JSON has it, in which the config came.
            yield f"{before}{key}", json.loads(json.dumps(value))


def _text(version: Mapping[str, str | None]) -> str:
    return " ".join(filter(None, (version["version"], (version["git_commit"] or "")[:7])))


def _machine() -> dict[str, Any]:
    from harness.runs.provenance import package_versions

    return {"name": socket.gethostname(), "packages": package_versions()}


class _Said(StringIO):
    """A file that holds nothing, and whose lines are told."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell, self._begun = tell, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                self._tell("said", line)
        return len(text)
