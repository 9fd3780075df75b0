"""Two methods on one score, question by question: the difference, its interval and its p-value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import ConfigError, InputError, did_you_mean
from harness.escape import markdown_text
from harness.metrics.statistics import Interval, Pair, compare_pair, hierarchical_ci, holm
from harness.report import bullets, pipe_table
from leaderboards.board import read_groups
from leaderboards.captions import failed
from leaderboards.collect import Floats
from leaderboards.entries import Entries, Entry
from leaderboards.labels import Labelled, find_label, meant, short_names
from leaderboards.unfinished import NOT_FINISHED

_LEGEND = (
    "Effect: mean difference over the standard deviation of the differences (d_z). Won: questions "
    "on which the second is better, ties counted half. p: {test}."
)
_TESTS = {
    "McNemar": "McNemar's exact test",
    "randomisation": "paired randomisation test",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """One task: the scores (n,) of both by question id, and what they say.

    ``interval`` is over questions and, of a row with several seeds, over these, too.
    """

    task: str
    question_ids: tuple[str, ...]
    first: Floats
    second: Floats
    pair: Pair
    interval: Interval


def compare(runs_dir: Path, a: str, b: str, metric: str = "f1") -> str:
    """A markdown table, one line a task: means of two rows of the leaderboard, paired difference.

    ``a`` and ``b`` are row labels, such as ``bm25 (k=15)``. Values are percentages. Raises
    ConfigError for labels or scores that are not there.
    """
    groups, notes = read_groups(runs_dir)
    tables = [(group.table_title, group.entries) for group in groups]
    a, b = (_row(given, [entries for _, entries in tables], notes) for given in (a, b))
    found = [
        compare_entries(task, entries[a], entries[b], metric)
        for task, entries in tables
        if a in entries and b in entries
    ]
    if not found:
        raise InputError(f"{runs_dir}: no task has comparable runs of both '{a}' and '{b}'")
    both = [e[label] for _, e in tables if a in e and b in e for label in (a, b)]
    head = " ".join(
        [heading(found, a, b, metric), *map(markdown_text, dict.fromkeys(cautions(both)))]
    )
    return "\n\n".join(filter(None, [head, table(found, a, b), bullets(notes)]))


def _row(given: str, tables: Sequence[Entries], notes: Sequence[str]) -> str:
    """The label of the row that is meant, by its full label or its short name in a table."""
    manifests = {
        label: entry.runs[0].manifest for entries in tables for label, entry in entries.items()
    }
    names = short_names(
        Labelled(label, m.config.method.name, m.non_default_params)
        for label, m in manifests.items()
    )
    label = find_label(given, names)
    if label is None:
        known = sorted({name.short for name in names.values()} | names.keys())
        of_it = [note for note in notes if given in note or not note.startswith(NOT_FINISHED)]
        found = "; ".join([did_you_mean(given, known), *of_it])
        if several := meant(given, names):
            found = f"; {len(several)} are, give one in full: {'; '.join(several)}"
        raise ConfigError(f"no row is called '{given}'{found}")
    return label


def compare_entries(task: str, a: Entry, b: Entry, metric: str) -> Compared:
    """Pair two rows by question. Raises ConfigError or InputError if they share no such score."""
    scores = [entry.values(metric) for entry in (a, b)]
    if any(values is None for values in scores):
        known = sorted(set(a.runs[0].scores) & set(b.runs[0].scores))
        raise ConfigError(f"{task}: not scored on '{metric}'{did_you_mean(metric, known)}")
    first, second = (np.asarray(values) for values in scores)
    kept = ~np.isnan(first) & ~np.isnan(second)
    if not kept.any():
        raise InputError(f"{task}: no question has a '{metric}' for both methods")
    pair = compare_pair(first[kept], second[kept])
    interval = pair.interval
    for entry in (a, b):
        means = [float(run.scores[metric][kept].mean()) for run in entry.runs]
        # About the difference: only how far the seeds lie apart counts.
        around = [mean - sum(means) / len(means) + pair.difference for mean in means]
        interval = hierarchical_ci(interval, around, scale=(-1, 1))
    ids = tuple(np.array(a.runs[0].question_ids, dtype=object)[kept])
    return Compared(task, ids, first[kept], second[kept], pair, interval)


def heading(found: Sequence[Compared], a: str, b: str, metric: str) -> str:
    """What the numbers of ``table`` are."""
    tests = " or, of scores between 0 and 1, the ".join(
        text for name, text in _TESTS.items() if any(one.pair.test == name for one in found)
    )
    corrected = f"{tests}; then corrected for {len(found)} rows (Holm)" if len(found) > 1 else tests
    return (
        f"{metric}, percentages; difference: {markdown_text(b)} minus {markdown_text(a)}, "
        f"with its 95% interval. {_LEGEND.format(test=corrected)}"
    )


def table(found: Sequence[Compared], a: str, b: str) -> str:
    """A markdown table, one line a task."""
    headers = ["Task", "n", markdown_text(a), markdown_text(b), "Difference [95% CI]"]
    headers += ["Effect", "Won", "p"] + (["p (Holm)"] if len(found) > 1 else [])
    adjusted = holm([one.pair.p_value for one in found])
    lines = [
        [*_cells(one), *([f"{p:.4f}"] if len(found) > 1 else [])]
        for one, p in zip(found, adjusted, strict=True)
    ]
    return pipe_table(headers, lines)


def _cells(one: Compared) -> list[str]:
    pair, (low, high) = one.pair, one.interval
    return [
        markdown_text(one.task),
        f"{pair.questions:,}",
        f"{100 * one.first.mean():.1f}",
        f"{100 * one.second.mean():.1f}",
        f"{100 * pair.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        "—" if pair.effect is None else f"{pair.effect:+.2f}",
        f"{100 * pair.superiority:.1f}",
        f"{pair.p_value:.4f}",
    ]


def cautions(entries: Iterable[Entry]) -> Iterator[str]:
    """Why a leaderboard leaves a row out of its comparison, and on how many questions it failed."""
    for entry in entries:
        if entry.is_apart:
            why = "is shown gold" if entry.oracle else "is not known to be of this corpus"
            yield f"Caution: {entry.label} {why}, so no leaderboard compares it."
        if entry.errors:
            yield f"Caution, {entry.runs[0].manifest.config.task.name}: {failed(entry)}"
