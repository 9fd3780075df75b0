"""Handfuls: what is left of a board's questions, handed to whoever is free, a few at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.runs.plan import RunPlan
    from harness.runs.resources import Resources

SMALLEST, LARGEST = 16, 256
PER_WORKER = 4
"""Handfuls a worker, so that none is idle long while the last is answered."""


def size_of(questions: int, workers: int) -> int:
    """How many questions of so many are handed to a worker at once."""
    return min(max(questions // (PER_WORKER * workers), SMALLEST), LARGEST)


@dataclass(slots=True)
class _Waiting:
    """A run's questions that nobody is at, and how many workers are at others of it."""

    plan: RunPlan
    ids: list[str]
    at: int = 0


@dataclass(slots=True)
class Handfuls:
    """What is left, by run id.

    ``needs`` names, for a run, what a worker would build of it first and another must not build
    meanwhile; ``built`` are those that are there.
    """

    size: int
    runs: dict[str, _Waiting] = field(default_factory=dict)
    needs: dict[str, set[str]] = field(default_factory=dict)
    built: set[str] = field(default_factory=set)
    building: dict[str, set[str]] = field(default_factory=dict)

    def add(self, plan: RunPlan, ids: Iterable[str], needs: Iterable[str]) -> None:
        """Put in a run of which these questions are left."""
        self.runs[plan.config.run_id] = _Waiting(plan, list(ids))
        self.needs[plan.config.run_id] = set(needs)

    def take(self, resources: Resources, last: str | None) -> tuple[str, list[str]] | None:
        """Run and questions for a worker of these resources; None if there is nothing now.

        Of its ``last`` run, whose model and index it has open, else of one that nobody is at, else
        of the one of which most is left.
        """
        free = [
            (run_id, waiting)
            for run_id, waiting in self.runs.items()
            if waiting.ids and waiting.plan.resources == resources and self._is_free(run_id)
        ]
        if not free:
            return None

        def rank(each: tuple[str, _Waiting]) -> tuple[bool, bool, int]:
            name, waiting = each
            return name == last, not waiting.at, len(waiting.ids) if waiting.at else 0

        run_id, waiting = max(free, key=rank)
        ids, waiting.ids = waiting.ids[: self.size], waiting.ids[self.size :]
        waiting.at += 1
        self.building.setdefault(run_id, set()).update(self.needs[run_id] - self.built)
        return run_id, ids

    def there(self, built: str) -> None:
        """Something that runs need was built."""
        self.built.add(built)
        for names in self.building.values():
            names.discard(built)

    def back(self, run_id: str, ids: Iterable[str]) -> None:
        """A worker has done with a handful but for these, which others may take."""
        waiting = self.runs[run_id]
        waiting.ids[:0] = ids
        waiting.at -= 1
        if not waiting.at:
            self.building.pop(run_id, None)

    def drop(self, run_id: str) -> None:
        """Hand out no more of a run."""
        self.runs[run_id].ids.clear()

    def is_done(self, run_id: str) -> bool:
        """Whether nothing of a run is left and nobody is at it."""
        waiting = self.runs[run_id]
        return not waiting.ids and not waiting.at

    @property
    def is_left(self) -> bool:
        """Whether anything is left, or somebody is at it."""
        return not all(map(self.is_done, self.runs))

    def _is_free(self, run_id: str) -> bool:
        needed = self.needs[run_id] - self.built
        return not any(needed & names for names in self.building.values())
