"""A cluster whose workers are real and run in threads of this process, not on other machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.boards.remote_worker import RemoteWorker
from harness.runs.resources import Resources

KILLED = "killed by the test"


class Thread:
    """A worker in a thread, which ``dies`` once it has told so many answers."""

    def __init__(self, request: str, dies: int | None) -> None:
        self.worker, self.left, self.is_dead = RemoteWorker(request), dies, False
        self.kept: list[str] = []

    def hand(self, run_id: str, question_ids: Sequence[str], *, is_begun: bool) -> None:
        self.worker.hand((run_id, tuple(question_ids), is_begun))

    def keep(self, place: str, piece: tuple[str, bytes]) -> None:
        self.kept.append(place)
        self.worker.keep(place, piece)

    def heard(self) -> list[Any] | str:
        told: list[Any] = []
        for event in () if self.is_dead else self.worker.listen():
            if self.left == 0 and event[0] != "ready":
                self.is_dead = True
                break
            if event[0] == "row" and self.left:
                self.left -= 1
            told.append(event)
        return KILLED if self.is_dead and not told else told


class Threads:
    """A cluster of threads; ``dies`` says of each that is started when it dies, if it does."""

    name, is_local = "threads", True

    def __init__(self, room: int = 2, dies: Sequence[int | None] = ()) -> None:
        self.size, self.dies = room, list(dies)
        self.started: list[Thread] = []
        self.requests: list[str] = []

    def room(self, resources: Resources) -> int:
        return self.size

    def start(self, request: str, resources: Resources) -> Thread:
        self.requests.append(request)
        self.started.append(Thread(request, self.dies.pop(0) if self.dies else None))
        return self.started[-1]

    def stop(self, remotes: Sequence[Thread]) -> None:
        for remote in remotes:
            remote.worker.leave()

    def heard(self, remotes: Sequence[Thread], seconds: float) -> Iterator[tuple[Thread, Any]]:
        for remote in remotes:
            yield remote, remote.heard()
