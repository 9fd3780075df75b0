"""The tables of a folder of runs, and which rows may stand in one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from harness.errors import InputError
from harness.fingerprint import canonical_json
from harness.runs.manifest import Hardware, Manifest
from leaderboards import captions
from leaderboards.collect import Run, Unfinished
from leaderboards.cost import common_hardware
from leaderboards.dealt import read_runs, size_of
from leaderboards.external import placed
from leaderboards.floors import Floor, find_floors
from leaderboards.judged import judge_lines
from leaderboards.labels import identity, row_labels
from leaderboards.rows import (
    DEFAULT_K,
    Entries,
    Measured,
    Row,
    make_entries,
    make_rows,
    measure,
)
from leaderboards.significance import promises
from leaderboards.unanswered import over_the_same_questions
from leaderboards.unfinished import unfinished_note

Item = TypeVar("Item")
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that may be compared. All text is plain: writers escape it for their format.

    ``settings`` is what all rows share, by dotted name. A ``mean`` table averages over the
    ``tasks`` of one model. ``caption`` has the facts, the most important first, ``legend`` how to
    read the numbers. ``hardware`` is where the timings are from; a mean has none.
    """

    kind: Literal["task", "mean"]
    title: str
    tasks: tuple[str, ...]
    model: str
    questions: int
    settings: Mapping[str, Any]
    caption: tuple[str, ...]
    rows: tuple[Row, ...]
    k: int = DEFAULT_K
    """Cut-off of the retrieval scores."""
    notes: tuple[str, ...] = ()
    legend: tuple[str, ...] = ()
    hardware: str = ""
    smallest_difference: float | None = None
    """Of F1 (0 to 1), that so many questions could have shown with a power of 80 %; None if no
    difference could be."""
    floors: tuple[Floor, ...] = ()
    """What the task's corpus takes at least, where that was computed (``floors``)."""
    cautions: tuple[str, ...] = ()
    """Those lines of the caption that nobody may miss."""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """All tables of a folder of runs; ``notes`` belong to no table."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one table, which may be compared."""

    settings: Mapping[str, Any]
    runs: tuple[Run, ...]
    entries: Entries
    hardware: Hardware
    unfinished: tuple[Unfinished, ...] = field(default=())
    tells_size: bool = False
    """Whether there are tables of the same task over corpora of other sizes."""

    @property
    def manifest(self) -> Manifest:
        """The first run's; task and model are the same in all."""
        return self.runs[0].manifest

    @property
    def task(self) -> str:
        """The task's name."""
        return self.manifest.config.task.name

    @property
    def title(self) -> str:
        """Task, split and model, for a heading."""
        return self._title("")

    @property
    def table_title(self) -> str:
        """The same, and the size of the corpus where that tells tables apart."""
        return self._title(size_of(self.settings) if self.tells_size else "")

    def _title(self, size: str) -> str:
        task, model = self.manifest.config.task, self.manifest.config.model.called
        return f"{task.name} ({task.split}){size and f', {size}'}: {model}"


def build(
    runs_dir: Path, k: int = DEFAULT_K, tested: str = "f1", *, strict: bool = False
) -> Leaderboard:
    """Read the runs below ``runs_dir`` and arrange them in tables.

    For each model: one table of means over its tasks, if it has several, then one table for each
    set of comparable runs. ``k`` is the cut-off of the retrieval scores, ``tested`` the score that
    rows are compared in. Raises InputError if no run is left, with ``strict`` also for the first
    that is damaged (see ``collect``).
    """
    groups, unfinished, labels, damaged = _read(runs_dir, strict=strict)
    measured = {id(group): measure(group.entries, k, tested) for group in groups}
    tables: list[Table] = []
    notes: list[str] = []
    for same_model in _split(groups, lambda group: canonical_json(_scope(group.settings))):
        for same_split in _one_table_a_task(same_model):
            table, note = _mean_table(same_split, measured)
            tables += [table] if table else []
            notes += [note] if note else []
        tables += [
            _task_table(group, groups, labels, measured[id(group)], runs_dir)
            for group in same_model
        ]
    placed = {id(u) for group in groups for u in group.unfinished}
    loose = [u for u in unfinished if id(u) not in placed]
    notes += [unfinished_note(u, labels[identity(u.manifest)], task=True) for u in loose]
    return Leaderboard(tuple(tables), (*notes, *damaged))


def read_groups(runs_dir: Path, *, across_corpora: bool = False) -> tuple[list[Group], list[str]]:
    """The runs of each table of one task, and a note on every run that is not finished or damaged.

    ``across_corpora``: the tables of growing corpora are to stand on the same questions.
    """
    groups, unfinished, labels, damaged = _read(runs_dir, across_corpora=across_corpora)
    notes = [unfinished_note(u, labels[identity(u.manifest)], task=True) for u in unfinished]
    return groups, [*notes, *damaged]


def _read(
    runs_dir: Path, *, across_corpora: bool = False, strict: bool = False
) -> tuple[list[Group], list[Unfinished], Labels, list[str]]:
    ended, unfinished, damaged = read_runs(runs_dir, strict=strict)
    runs, left_out = over_the_same_questions(placed(ended), across_corpora=across_corpora)
    unfinished += left_out
    labels = row_labels([*(run.manifest for run in runs), *(u.manifest for u in unfinished)])
    return _groups(runs, unfinished, labels), unfinished, labels, damaged


def _groups(
    finished: Sequence[Run], unfinished: Sequence[Unfinished], labels: Labels
) -> list[Group]:
    sizes: dict[str, set[int | None]] = {}
    for run in finished:
        task = run.manifest.config.task
        sizes.setdefault(task.name, set()).add(task.passages)
    groups = []
    for runs in _split(
        finished, lambda run: canonical_json(run.manifest.comparable(run.metrics_version))
    ):
        members = defaultdict(list)
        for run in runs:
            members[labels[identity(run.manifest)]].append(run)
        would_join, task = runs[0].manifest.comparable(None), runs[0].manifest.config.task
        groups.append(
            Group(
                settings=runs[0].manifest.comparable(runs[0].metrics_version),
                runs=tuple(runs),
                entries=make_entries(members),
                hardware=common_hardware(runs),
                unfinished=tuple(
                    u for u in unfinished if u.manifest.comparable(None) == would_join
                ),
                tells_size=len(sizes[task.name]) > 1,
            )
        )
    return sorted(groups, key=_place)


def _place(group: Group) -> tuple[str, str, int, str]:
    """Where a table stands: by its model, its task, and the size of its corpus."""
    config, settings = group.manifest.config, canonical_json(group.settings)
    return config.model.called, group.task, config.task.passages or 0, settings


def _scope(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which the tasks of one mean must agree."""
    return {
        name: value
        for name, value in settings.items()
        if not name.startswith("task.") or name == "task.limit"
    }


def _one_table_a_task(groups: Sequence[Group]) -> list[list[Group]]:
    """Sets of tables to average. Splits are told apart only where a task has several tables."""
    if len({group.task for group in groups}) == len(groups):
        return [list(groups)]
    return _split(groups, lambda group: group.manifest.config.task.split)


def _mean_table(
    groups: Sequence[Group], measured: Mapping[int, Measured]
) -> tuple[Table | None, str | None]:
    """Average over tasks, or tell why that is not possible; neither for a single task."""
    tasks = tuple(group.task for group in groups)
    model = groups[0].manifest.config.model.called
    if len(set(tasks)) < 2:
        return None, None
    if len(set(tasks)) < len(tasks):
        return None, f"{model}: no mean over tasks, since a task has tables that are not comparable"
    tasks_measured = [measured[id(group)] for group in groups]
    rows, smallest = make_rows(tasks_measured, [group.hardware for group in groups])
    missing = captions.missing({group.task: group.entries.keys() for group in groups})
    if not rows:
        return None, f"{model}: no mean over tasks, since no method has run on all: {missing}"
    runs = [run for group in groups for run in group.runs]
    k, questions = tasks_measured[0].k, sum(len(group.runs[0].question_ids) for group in groups)
    table = Table(
        kind="mean",
        title=f"Mean over {', '.join(tasks)}: {model}",
        tasks=tasks,
        model=model,
        questions=questions,
        settings=_scope(groups[0].settings),
        caption=captions.mean_caption(runs, rows),
        legend=promises(rows),
        rows=tuple(rows),
        k=k,
        notes=(f"Not on all tasks, so left out: {missing}",) if missing else (),
        smallest_difference=smallest,
        cautions=captions.mean_cautions(runs),
    )
    return table, None


def _task_table(
    group: Group, groups: Sequence[Group], labels: Labels, measured: Measured, runs_dir: Path
) -> Table:
    task, model = group.manifest.config.task, group.manifest.config.model.called
    rows, smallest = make_rows([measured], [group.hardware])
    k, questions = measured.k, len(group.runs[0].question_ids)
    others = [other.settings for other in groups if other.task == group.task]
    floors, damaged = _floors(runs_dir, task.corpus_fingerprint)
    notes = captions.row_notes(rows, group.hardware)
    notes += damaged
    notes += [
        unfinished_note(u, labels[identity(u.manifest)], task=False) for u in group.unfinished
    ]
    return Table(
        kind="task",
        title=group.table_title,
        tasks=(task.name,),
        model=model,
        questions=questions,
        settings=group.settings,
        caption=(
            *captions.task_caption(group.runs, rows, group.hardware, others),
            *judge_lines((row.label, row.judge) for row in rows),
        ),
        legend=promises(rows),
        hardware=group.hardware.text,
        rows=tuple(rows),
        k=k,
        notes=tuple(notes),
        smallest_difference=smallest,
        floors=floors,
        cautions=captions.task_cautions(group.runs, rows),
    )


def _floors(runs_dir: Path, corpus_fingerprint: str) -> tuple[tuple[Floor, ...], list[str]]:
    """The floors of a corpus; a damaged file is told and blocks no table."""
    try:
        return find_floors(runs_dir, corpus_fingerprint), []
    except InputError as error:
        return (), [f"No storage floors: {error}"]


def _split(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """Part ``items`` by ``key``, keeping their order."""
    parts: dict[Hashable, list[Item]] = {}
    for item in items:
        parts.setdefault(key(item), []).append(item)
    return list(parts.values())
