"""The crew of remote workers: who is at which questions, and what becomes of what they tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.boards.handfuls import Handfuls
from harness.boards.workers import index_of
from harness.errors import ConfigError, HarnessError, RunFailedError
from harness.method import writes_memory
from harness.progress import Bar, say
from harness.runs.carried import Arriving, pieces
from harness.runs.gathered import Gathered
from harness.runs.machine import Hardware
from harness.runs.provenance import package_versions
from harness.runs.usage import cautions
from harness.runs.write_phase import is_written, memory_path

if TYPE_CHECKING:
    from harness.boards.cluster import Cluster, Remote
    from harness.boards.remote_worker import Event
    from harness.boards.so_far import SoFar
    from harness.runs.resources import Resources

LOSSES = 3
"""Workers lost in a row, with no answer in between, after which it is not their machines' fault."""
PATIENCE = 1.0
"""Seconds between two looks at who is free."""


@dataclass(slots=True, eq=False)
class Hand:
    """A worker, what it is at, and what it has."""

    remote: Remote
    resources: Resources
    is_ready: bool = False
    run: Gathered | None = None
    ids: dict[str, None] = field(default_factory=dict)
    machine: str = ""
    hardware: str = ""
    memories: set[Path] = field(default_factory=set)
    last: str | None = None
    arriving: Arriving | None = None


@dataclass(slots=True)
class Crew:
    """Hands out until nothing is left; all in one thread."""

    cluster: Cluster
    request: str
    runs: Mapping[str, Gathered]
    queue: Handfuls
    so_far: SoFar
    failures: list[HarnessError]
    shown: Bar
    hands: list[Hand] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    losses: Counter[str] = field(default_factory=Counter)
    """Of a run, or of workers that never came ("")."""

    def work(self, counts: Mapping[Resources, int]) -> None:
        """Start so many workers and have everything answered."""
        for resources, count in counts.items():
            self.hands += [self._start(resources) for _ in range(count)]
        for run_id in self.runs:
            self._settle(run_id)
        while self.queue.is_left:
            for hand in self.hands:
                if hand.is_ready and hand.run is None:
                    self._hand_out(hand)
            busy = {id(h.remote): h for h in self.hands if h.run is not None or not h.is_ready}
            remotes = [hand.remote for hand in busy.values()]
            for remote, heard in self.cluster.heard(remotes, PATIENCE):
                hand = busy[id(remote)]
                if isinstance(heard, str):
                    self._lose(hand, heard)
                else:
                    for event in heard:
                        self._take(hand, event)

    def stop(self) -> None:
        """End all workers."""
        self.cluster.stop([hand.remote for hand in self.hands])

    def _start(self, resources: Resources) -> Hand:
        return Hand(self.cluster.start(self.request, resources), resources)

    def _hand_out(self, hand: Hand) -> None:
        found = self.queue.take(hand.resources, hand.last)
        if found is None:
            return
        run_id, ids = found
        run = self.runs[run_id]
        hand.run, hand.last, hand.ids = run, run_id, dict.fromkeys(ids)
        place = self._place(run)
        if writes_memory(type(run.plan.method)) and place not in hand.memories:
            if is_written(place):
                name = place.relative_to(self.so_far.root).as_posix()
                for piece in pieces(place):
                    hand.remote.keep(name, piece)
            hand.memories.add(place)
        hand.remote.hand(run_id, ids, is_begun=run.is_begun)

    def _take(self, hand: Hand, event: Event) -> None:
        what, value = event
        if what == "refused":
            raise ConfigError(value)
        if what == "ready":
            hand.is_ready, hand.machine = True, value["name"]
            self.losses[""] = 0
            self._compare(hand, value["packages"])
            return
        if hand.run is None:  # a line after the last answer
            say(self.so_far.console, f"{hand.machine}: {value}")
            return
        take: dict[str, Callable[[Hand, Gathered, Any], None]] = {
            "said": self._said,
            "opened": self._opened,
            "memory": self._memory,
            "wrote": self._wrote,
            "row": self._row,
            "answered": self._answered,
            "failed": self._failed,
        }
        take[what](hand, hand.run, value)

    def _said(self, hand: Hand, run: Gathered, text: str) -> None:
        data = run.plan.data.name
        is_named = text.startswith((f"{data} / ", f"{data}: "))
        say(self.so_far.console, text if is_named else f"{run.plan.label}: {text}")

    def _opened(self, hand: Hand, run: Gathered, manifest: Mapping[str, Any]) -> None:
        hand.hardware = Hardware.model_validate(manifest["hardware"]).text
        run.begin(manifest)
        for name in index_of(run.plan):
            self.queue.there(name)

    def _memory(self, hand: Hand, run: Gathered, piece: tuple[str, bytes]) -> None:
        if hand.arriving is None:
            hand.arriving = Arriving(self._place(run))
        hand.arriving.take(piece)

    def _wrote(self, hand: Hand, run: Gathered, _: str) -> None:
        hand.arriving = None
        self.queue.there(str(self._place(run)))

    def _row(self, hand: Hand, run: Gathered, row: tuple[str, bytes]) -> None:
        question_id, line = row
        hand.ids.pop(question_id, None)
        self.losses[run.plan.config.run_id] = 0
        if run.take(question_id, line, hand.hardware):
            self.shown.advance()

    def _answered(self, hand: Hand, run: Gathered, told: Mapping[str, Any]) -> None:
        run.note(told)
        self._let_go(hand, run, again=())

    def _failed(self, hand: Hand, run: Gathered, why: str) -> None:
        self._fail(run, RunFailedError(why))
        self._let_go(hand, run, again=())

    def _lose(self, hand: Hand, why: str) -> None:
        """Take up again what a lost worker was at, and start another in its place."""
        self.hands[self.hands.index(hand)] = self._start(hand.resources)
        self.cluster.stop([hand.remote])
        run, where = hand.run, hand.machine or "a machine"
        key = run.plan.config.run_id if run else ""
        self.losses[key] += 1
        if hand.arriving is not None:
            hand.arriving.drop()
        if run is None:
            say(self.so_far.console, f"{where}: its worker is gone ({why})")
            if self.losses[key] >= LOSSES:
                raise RunFailedError(f"workers do not start on the cluster: {why}")
            return
        label, count = run.plan.label, f"{len(hand.ids)} questions"
        say(self.so_far.console, f"{label}: {where}'s worker is gone, {count} go to another")
        if self.losses[key] >= LOSSES:
            self._fail(
                run,
                RunFailedError(
                    f"{label}: stopped, {LOSSES} workers in a row were lost at it ({why}); see to "
                    "their memory and run again, answers so far are kept"
                ),
            )
        self._let_go(hand, run, again=hand.ids)

    def _fail(self, run: Gathered, error: HarnessError) -> None:
        self.queue.drop(run.plan.config.run_id)
        run.has_failed = True
        # A model that cannot be loaded stops all its runs.
        if str(error) not in map(str, self.failures):
            self.failures.append(error)

    def _let_go(self, hand: Hand, run: Gathered, again: Mapping[str, None] | tuple[()]) -> None:
        hand.run = None
        self.queue.back(run.plan.config.run_id, [] if run.has_failed else list(again))
        self._settle(run.plan.config.run_id)

    def _settle(self, run_id: str) -> None:
        """End a run that nothing is left of."""
        if not self.queue.is_done(run_id):
            return
        run, console = self.runs[run_id], self.so_far.console
        if run.has_failed:
            run.stop()
            return
        run.end()
        for caution in cautions(run.folder):
            say(console, f"warning: {run.plan.label}: {caution}")
        self.so_far.add(run.plan)
        self.answered.add(run_id)

    def _place(self, run: Gathered) -> Path:
        return memory_path(self.so_far.root, run.plan.config, type(run.plan.method))

    def _compare(self, hand: Hand, there: Mapping[str, str]) -> None:
        """Say what is installed otherwise on a machine, for it may round otherwise."""
        here = package_versions()
        names = [n for n in sorted({**here, **there}) if here.get(n) != there.get(n)]
        if names:
            told = ", ".join(f"{n} {there.get(n, 'none')}" for n in names)
            ours = ", ".join(f"{n} {here.get(n, 'none')}" for n in names)
            say(self.so_far.console, f"warning: machine {hand.machine} has {told}; here: {ours}")
