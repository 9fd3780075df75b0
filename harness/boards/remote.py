"""Remote workers: other machines answer a board's runs, and this one keeps what they answer.

A worker is handed a few questions of a run at a time and tells each answer when it has it. Answers
are kept in the run's ordinary folder, so a worker that is lost costs what it had not told, and any
other machine can go on with it. What a worker is, and where, the ``Cluster`` knows (``on_ray``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.boards.cluster import Cluster
from harness.boards.config import Board
from harness.boards.crew import Crew
from harness.boards.elsewhere import as_json, told
from harness.boards.handfuls import SMALLEST, Handfuls, size_of
from harness.boards.workers import index_of
from harness.errors import ConfigError, HarnessError
from harness.llm.powers import allowed
from harness.method import writes_memory
from harness.progress import bar, say
from harness.runs.gathered import Gathered
from harness.runs.provenance import harness_version
from harness.runs.write_phase import is_written, memory_path

if TYPE_CHECKING:
    from harness.boards.so_far import SoFar
    from harness.runs.plan import RunPlan
    from harness.runs.resources import Resources

KEY = "--on"


@dataclass(frozen=True, slots=True)
class RemoteWorkers:
    """Workers for a board on a cluster, and how they open models.

    ``count``: at most so many; None for all that the cluster has room for.
    """

    board: Board
    root: Path
    cluster: AbstractContextManager[Cluster]
    count: int | None = None
    batch_size: int | None = None
    device: str | None = None
    retry_errors: bool = False
    key: ClassVar[str] = KEY
    fewest: ClassVar[int] = 1

    def answer(
        self, plans: Sequence[RunPlan], so_far: SoFar, failures: list[HarnessError]
    ) -> list[RunPlan]:
        """Have every run answered; returns those that are to be measured here, in their order.

        What stopped a run is added to ``failures``. Raises HarnessError if the cluster cannot do
        it. An interrupt ends the workers; what they told is kept.
        """
        todo = [plan for plan in plans if not plan.is_answered(self.root)]
        answered = {p.config.run_id for p in plans} - {p.config.run_id for p in todo}
        if todo:
            with self.cluster as cluster, ExitStack() as held:
                answered |= self._answer(todo, cluster, so_far, failures, held)
        return [replace(plan, asks=False) for plan in plans if plan.config.run_id in answered]

    def _answer(
        self,
        todo: Sequence[RunPlan],
        cluster: Cluster,
        so_far: SoFar,
        failures: list[HarnessError],
        held: ExitStack,
    ) -> set[str]:
        runs = {
            plan.config.run_id: held.enter_context(Gathered(plan, self.root, cluster.name))
            for plan in {plan.config.run_id: plan for plan in todo}.values()
        }
        left = sum(len(run.left) for run in runs.values())
        needs = dict.fromkeys(plan.resources for plan in todo)
        counts = {needed: self._count(cluster, todo, needed) for needed in needs}
        total = sum(counts.values())
        queue = Handfuls(size_of(left, total))
        for run in runs.values():
            queue.add(run.plan, run.left, self._needs(run.plan, cluster))
        for needed, count in counts.items():
            say(so_far.console, f"{cluster.name}: up to {count} workers, each with {needed.text}")
        everything = sum(len(run.plan.data.questions) for run in runs.values())
        request = self.request(list(runs.values()), total, cluster)
        with bar(so_far.console, "questions answered", everything, everything - left) as shown:
            crew = Crew(cluster, request, runs, queue, so_far, failures, shown)
            held.callback(crew.stop)
            crew.work(counts)
        return crew.answered

    def request(self, runs: Sequence[Gathered], count: int, cluster: Cluster) -> str:
        """What each worker is told first."""
        options = {
            "batch_size": self.batch_size,
            "device": self.device,
            "retry_errors": self.retry_errors,
            # Who else is at work on a cluster's machines is not known: never alone.
            "processes": count if cluster.is_local else max(2, count),
            "harness": harness_version(),
            "allowed": sorted(allowed()),
            "folder": str(Path.cwd()),
            "runs": {
                run.plan.config.run_id: (run.plan.label, run.plan.config.written()) for run in runs
            },
        }
        return json.dumps(told(as_json(self.board, KEY, workers=1), self.root, **options))

    def _count(self, cluster: Cluster, todo: Sequence[RunPlan], needed: Resources) -> int:
        questions = sum(len(plan.asked) for plan in todo if plan.resources == needed)
        useful = -(-questions // SMALLEST)
        if self.count is not None:
            return min(self.count, useful)
        room = cluster.room(needed)
        if not room:
            raise ConfigError(
                f"{KEY}: no machine of the cluster has {needed.text}, which the board's "
                "'resources' ask for; ask for less, or give --workers N to wait for machines"
            )
        return max(1, min(room, useful))

    def _needs(self, plan: RunPlan, cluster: Cluster) -> Iterator[str]:
        """What the first worker at a run builds: a memory and, in a cache that all share, an index.

        Other machines have other caches, each of which an index is built in.
        """
        if cluster.is_local:
            yield from index_of(plan)
        place = memory_path(self.root, plan.config, type(plan.method))
        if writes_memory(type(plan.method)) and not is_written(place):
            yield str(place)
