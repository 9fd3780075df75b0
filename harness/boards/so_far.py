"""The table so far: what a board's finished runs scored, shown while the others go on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple, Self

from harness.escape import one_line, shortened
from harness.progress import say
from harness.runs.performance import read_performance

if TYPE_CHECKING:
    from rich.console import Console

    from harness.runs.plan import RunPlan

LONGEST_NAME = 28
MOST_ROWS = 20
WIDTH = 100


class Found(NamedTuple):
    """F1 of a run's questions (0 to 1), and the seconds of those that were timed one by one."""

    f1: list[float]
    seconds: list[float]

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Of a run that is scored."""
        with (folder / "scores.jsonl").open("rb") as file:
            f1 = [json.loads(line)["f1"] for line in file]
        latency = read_performance(folder).latency
        return cls(f1, list(latency.seconds) if latency else [])


class SoFar:
    """Rows of a board, one a method with its parameters, model and seed; a column a task.

    Of a task over several sizes of its corpus each size is one, all pools of a size together.

    A row is shown once all its runs are there: on a terminal with the whole table, in a log alone,
    the first after what was finished before. Where runs are timed only when all are answered, the
    table is shown once more with their times. Boards of one run show nothing.
    """

    def __init__(self, console: Console, plans: Sequence[RunPlan], root: Path) -> None:
        self.console, self.root = console, root
        # A shard has no scores before it is merged.
        self.plans = plans = [plan for plan in plans if plan.shard is None]
        self.places = _places(plans)
        self.tasks = list(dict.fromkeys(self.places.values()))
        self.names = _names(plans)
        self.of_rows = Counter(self.names.values())
        self.rows: dict[str, dict[str, Found]] = {}
        """By the row's name and the run's id."""
        self.known: set[str] = set()
        self.told: set[str] = set()

    def add(self, plan: RunPlan, *, shown: bool = True) -> None:
        """Take in a run that is answered, and again once it is timed."""
        if len(self.plans) < 2 or plan.shard is not None:
            return
        run_id = plan.config.run_id
        found, name = Found.of(plan.config.folder(self.root)), self.names[run_id]
        row = self.rows.setdefault(name, {})
        is_new = run_id not in self.known
        self.known.add(run_id)
        row[run_id] = found
        if not shown:
            return
        if is_new:
            say(self.console, f"{plan.label}: F1 {_percent(fmean(found.f1))}")
        if is_new and len(row) == self.of_rows[name]:
            self._show()
        elif not is_new and self._is_all_timed():
            self.told.clear()
            self._show()

    def _show(self) -> None:
        whole = self.console.is_terminal and len(self.rows) <= MOST_ROWS
        told: set[str] = set() if whole else self.told
        if not told:
            questions = max(_asked(plan) for plan in self.plans)
            say(self.console, f"F1 so far, percent, up to {questions:,} questions a task:")
            say(self.console, self._heading())
        for each in (each for each in self._complete() if each not in told):
            say(self.console, self._line(each))
            self.told.add(each)

    def _is_all_timed(self) -> bool:
        found = [each for row in self.rows.values() for each in row.values()]
        timed = [each for each in found if each.seconds]
        return len(self.known) == len(self.names) and len(timed) == len(found)

    def _complete(self) -> list[str]:
        return [name for name, row in self.rows.items() if len(row) == self.of_rows[name]]

    @property
    def _columns(self) -> list[str]:
        """Tasks that have a column: none where they would not fit."""
        width = LONGEST_NAME + 22 + sum(max(len(task), 5) + 2 for task in self.tasks)
        return self.tasks if len(self.tasks) > 1 and width <= WIDTH else []

    def _heading(self) -> str:
        tasks = [task.rjust(max(len(task), 5)) for task in self._columns]
        return "  ".join(["method".ljust(LONGEST_NAME), *tasks, " mean", "s/question"])

    def _line(self, name: str) -> str:
        parts: dict[str, list[Found]] = {}
        for run_id, found in self.rows[name].items():
            parts.setdefault(self.places[run_id], []).append(found)
        f1 = {task: fmean(x for found in each for x in found.f1) for task, each in parts.items()}
        cells = [
            (_percent(f1[task]) if task in f1 else "-").rjust(max(len(task), 5))
            for task in self._columns
        ]
        mean = _percent(fmean(f1.values())).rjust(5)
        timed = [[x for found in each for x in found.seconds] for each in parts.values()]
        seconds = f"{fmean(map(median, timed)):.2f}" if all(timed) else "-"
        return "  ".join([name.ljust(LONGEST_NAME), *cells, mean, seconds.rjust(10)])


def _places(plans: Sequence[RunPlan]) -> dict[str, str]:
    """The column of each run id: its task, and how many documents where that differs."""
    sizes: dict[str, set[int | None]] = {}
    for plan in plans:
        task = plan.config.task
        sizes.setdefault(task.name, set()).add(task.passages)
    found = {}
    for plan in plans:
        task = plan.config.task
        several = len(sizes[task.name]) > 1
        found[plan.config.run_id] = f"{task.name} {task.passages:,}" if several else task.name
    return found


def _asked(plan: RunPlan) -> int:
    """Questions of a task, in all of its pools."""
    hand = plan.data.dealt
    return hand.questions if hand else len(plan.data.questions)


def _names(plans: Sequence[RunPlan]) -> dict[str, str]:
    """What the row of each run id is called: the method, and what tells it from other rows."""
    models = {plan.model.name for plan in plans}
    seeds = {plan.config.seed for plan in plans}
    methods: dict[str, set[str]] = {}
    for plan in plans:
        methods.setdefault(plan.config.method.name, set()).add(_params(plan))
    names = {}
    for plan in plans:
        name = plan.config.method.name
        parts = [name, _params(plan) if len(methods[name]) > 1 else ""]
        parts += [plan.model.name] if len(models) > 1 else []
        parts += [f"seed {plan.config.seed}"] if len(seeds) > 1 else []
        names[plan.config.run_id] = one_line(", ".join(filter(None, parts)))
    short = {name: shortened(name, LONGEST_NAME) for name in names.values()}
    alike = Counter(short.values())
    return {key: short[name] if alike[short[name]] == 1 else name for key, name in names.items()}


def _params(plan: RunPlan) -> str:
    given = plan.method.params.model_dump(mode="json", exclude_defaults=True) | plan.method.variant
    return ", ".join(f"{key}={value}" for key, value in sorted(given.items()))


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
