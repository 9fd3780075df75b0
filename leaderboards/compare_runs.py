"""Two runs from anywhere, question by question: the difference, and the questions that changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.errors import InputError
from harness.escape import markdown_text, one_line
from harness.fingerprint import canonical_json
from harness.report import bullets, pipe_table
from harness.runs.predictions import read_predictions
from leaderboards.collect import Run
from leaderboards.compare import Compared, cautions, compare_entries, heading, table
from leaderboards.dealt import read_runs, size_of
from leaderboards.entries import Entry, make_entries
from leaderboards.labels import full_label
from leaderboards.unanswered import without
from leaderboards.unfinished import unfinished_note

_LONGEST_ANSWER = 60
_MUST_AGREE = {
    "questions": "the questions and their golden answers (questions_fingerprint)",
    "gold": "what counts as gold, or how answers are scored (the card's rules)",
    "metrics": "the version of the metrics; run `memory-harness score` on both",
}


_Side = Mapping[str, Sequence[Run]]
"""The runs of one of the two, by task."""


def compare_runs(a: Path, b: Path, metric: str = "f1", changed: int = 20) -> str:
    """Markdown: one line a task that both folders hold, and the ``changed`` questions of each.

    ``a`` and ``b`` are run folders, or folders that hold one run of a task: one method and model,
    in as many seeds as there are. A task over corpora of several sizes has a line for each; dealt
    pools of a size are one run over all their questions. Raises InputError for runs that cannot be
    paired, naming what differs.
    """
    found = [_read(a), _read(b)]
    sized = set().union(*(_of_several_sizes(runs) for runs, _ in found))
    sides = [_by_task(folder, runs, sized) for folder, (runs, _) in zip((a, b), found, strict=True)]
    tasks = [task for task in sides[0] if task in sides[1]]
    if not tasks:
        names = [", ".join(side) for side in sides]
        raise InputError(f"no task in both: {a} has {names[0]}, {b} has {names[1]}")
    pairs = [_paired(sides[0][task], sides[1][task]) for task in tasks]
    compared = [
        compare_entries(task, *pair, metric) for task, pair in zip(tasks, pairs, strict=True)
    ]
    notes = [
        *_apart(sides, [told for _, told in found]),
        *(note for one in compared for note in _notes(one, sides)),
    ]
    told = dict.fromkeys(cautions(side for pair in pairs for side in pair))
    parts = [
        bullets(_described(name, side, tasks) for name, side in zip("AB", sides, strict=True)),
        heading(compared, "A", "B", metric),
        table(compared, "A", "B"),
        bullets([*notes, *told]),
        *(_changes(one, *pair, changed) for one, pair in zip(compared, pairs, strict=True)),
    ]
    return "\n\n".join(filter(None, parts))


def _read(folder: Path) -> tuple[list[Run], list[str]]:
    """The runs below a folder, and which of the pools of a size are not all there."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a run's folder or one that holds it")
    # Fewer seeds than there are would be another comparison.
    runs, unfinished, _ = read_runs(folder, strict=True)
    dealt = (each for each in unfinished if each.manifest.config.task.dealt)
    return runs, [unfinished_note(e, full_label(e.manifest), task=True) for e in dealt]


def _of_several_sizes(runs: Iterable[Run]) -> set[str]:
    """Tasks that were asked over corpora of several sizes."""
    sizes: dict[str, set[int | None]] = defaultdict(set)
    for run in runs:
        sizes[run.manifest.config.task.name].add(run.manifest.config.task.passages)
    return {task for task, known in sizes.items() if len(known) > 1}


def _by_task(
    folder: Path, runs: Iterable[Run], sized: Collection[str]
) -> dict[str, tuple[Run, ...]]:
    """The runs of each task, of each size of those ``sized``; of one method and model each."""
    tasks: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=_place):
        name = run.manifest.config.task.name
        size = size_of(run.manifest.comparable(None)) if name in sized else ""
        tasks[f"{name}, {size}" if size else name].append(run)
    for task, members in tasks.items():
        kinds = {canonical_json(_kind(run)): run for run in members}
        if len(kinds) > 1:
            named = sorted({str(_folder(run)) for run in kinds.values()})
            fix = f"name one of {', '.join(named)}"
            if len(named) < len(kinds):
                fix = f"name two rows: memory-harness compare {folder} BASE OTHER"
            raise InputError(f"{folder}: several runs of {task}; {fix}")
    return {task: tuple(members) for task, members in tasks.items()}


def _place(run: Run) -> tuple[str, int]:
    task = run.manifest.config.task
    return task.name, task.passages or 0


def _folder(run: Run) -> Path:
    """Where a run lies; of one over dealt pools, the folder that holds them all."""
    return run.folder.parent if run.parts else run.folder


def _kind(run: Run) -> dict[str, object]:
    """What runs share that differ in their seed alone."""
    return {
        "row": run.manifest.identity(),
        "table": run.manifest.comparable(run.metrics_version),
    }


def _paired(a: Sequence[Run], b: Sequence[Run]) -> tuple[Entry, Entry]:
    """Both over the questions that all their runs answered."""
    _check(a[0], b[0])
    lost = frozenset[str]().union(*(run.unanswered for run in (*a, *b)))
    entries = [make_entries({name: [without(r, lost) for r in runs]})[name]
               for name, runs in (("A", a), ("B", b))]  # fmt: skip
    if not entries[0].runs[0].question_ids:
        raise InputError(f"{a[0].folder} and {b[0].folder}: both answered none of the questions")
    return entries[0], entries[1]


def _check(a: Run, b: Run) -> None:
    """Raise InputError unless both were asked the same and are scored alike."""
    one, other = a.manifest, b.manifest
    fingerprints = [m.config.task.questions_fingerprint for m in (one, other)]
    differing = {
        "questions": fingerprints[0] != fingerprints[1],
        "gold": one.scoring != other.scoring,
        "metrics": a.metrics_version != b.metrics_version,
    }
    wrong = [_MUST_AGREE[name] for name, differs in differing.items() if differs]
    where = f"{a.folder} and {b.folder} cannot be paired"
    if wrong:
        raise InputError(f"{where}: they differ in {'; in '.join(wrong)}")
    asked = [{*run.question_ids, *run.unanswered} for run in (a, b)]
    if asked[0] != asked[1]:
        only = sorted(asked[0] ^ asked[1])
        raise InputError(
            f"{where}: of {len(asked[0]):,} and {len(asked[1]):,} questions {len(only):,} were "
            f"asked in one alone, such as '{only[0]}'; run both with the same --limit"
        )


def _described(name: str, side: _Side, tasks: Sequence[str]) -> str:
    """What a letter stands for."""
    runs = [run for task in tasks for run in side[task]]
    methods = dict.fromkeys(full_label(run.manifest) for run in runs)
    models = dict.fromkeys(run.manifest.config.model.called for run in runs)
    seeds = sorted({run.manifest.config.seed for run in runs})
    every = {_folder(run): None for run in runs}
    folders = [str(each) for each in every if not every.keys() & {*each.parents}]
    return (
        f"{name}: {', '.join(methods)} with {', '.join(models)}, "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))} "
        f"({', '.join(folders)})"
    )


def _apart(sides: Sequence[_Side], unfinished: Sequence[Sequence[str]]) -> Iterator[str]:
    """What only one of the two has, and what one has not finished."""
    for name, side, other, told in zip("AB", sides, sides[::-1], unfinished, strict=True):
        if alone := [task for task in side if task not in other]:
            yield f"In {name} alone, so not compared: {'; '.join(alone)}."
        yield from (f"{name}: {note}" for note in told)


def _notes(compared: Compared, sides: Sequence[_Side]) -> Iterator[str]:
    """What else differs between the two, and which questions are missing."""
    task, n = compared.task, compared.pair.questions
    a, b = (side[task] for side in sides)
    one, other = (runs[0].manifest for runs in (a, b))
    settings = [
        {"method": m.config.method.name, "params": m.config.method.params,
         "method version": m.config.method.version, "seed": m.config.seed,
         "prompt_format": m.config.method.prompt_format, "harness": m.harness.text,
         "retriever": m.config.retriever, "hardware": m.hardware.key, **m.comparable(None)}
        for m in (one, other)
    ]  # fmt: skip
    differing = sorted(
        name for name in settings[0].keys() | settings[1].keys()
        if settings[0].get(name) != settings[1].get(name)
    )  # fmt: skip
    if differing:
        yield f"{task}: the two also differ in {', '.join(differing)}."
    asked = len(a[0].question_ids) + len(a[0].unanswered)
    if n < asked:
        yield f"{task}: {asked - n:,} of {asked:,} questions have no such score in both: left out."


def _changes(one: Compared, a: Entry, b: Entry, most: int) -> str:
    """The questions that changed, the largest differences first, with both answers."""
    gaps = one.second - one.first
    places = sorted(np.flatnonzero(gaps), key=lambda i: (-abs(gaps[i]), one.question_ids[i]))
    same = gaps.size - len(places)
    title = (
        f"## {markdown_text(one.task)}: {one.pair.won:,} won, {one.pair.lost:,} lost, "
        f"{same:,} the same"
    )
    shown = places[:most]
    if not shown:
        return title
    wanted = {one.question_ids[i] for i in shown}
    answers = [_answers(entry.runs[0], wanted) for entry in (a, b)]
    lines = [
        [
            "won" if gaps[i] > 0 else "lost",
            markdown_text(id_),
            f"{100 * one.first[i]:.0f}",
            f"{100 * one.second[i]:.0f}",
            *(_short(side.get(id_, "")) for side in answers),
        ]
        for i, id_ in ((i, one.question_ids[i]) for i in shown)
    ]
    headers = ["B has", "Question", "A", "B", "Answer of A", "Answer of B"]
    grid = pipe_table(headers, lines, left=(0, 1, 4, 5))
    more = len(places) - len(shown)
    rest = [f"And {more:,} more (--changed {len(places)})."] if more else []
    return "\n\n".join([title, grid, *rest])


def _answers(run: Run, wanted: Collection[str]) -> dict[str, str]:
    files = (part.folder / "predictions.jsonl" for part in run.on_disk)
    rows = (row for file in files for _, row in read_predictions(file))
    return {r["question_id"]: str(r["answer"]) for r in rows if r["question_id"] in wanted}


def _short(answer: str) -> str:
    text = one_line(answer)
    cut = text if len(text) <= _LONGEST_ANSWER else f"{text[: _LONGEST_ANSWER - 3]}..."
    return markdown_text(cut)
