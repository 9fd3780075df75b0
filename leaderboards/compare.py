"""Two methods on one score, question by question: the difference, its interval and its p-value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.errors import ConfigError, InputError, did_you_mean
from harness.escape import markdown_text
from harness.metrics.statistics import difference_ci, paired_randomisation_test
from harness.report import pipe_table
from leaderboards.board import build_entries
from leaderboards.labels import Labelled, find_label, short_names
from leaderboards.rows import Entries, Entry

_HEADERS = ("Task", "n", "{a}", "{b}", "Difference [95% CI]", "p")


def compare(runs_dir: Path, a: str, b: str, metric: str = "f1") -> str:
    """A markdown table, one line a task: means of two rows of the leaderboard, paired difference.

    ``a`` and ``b`` are row labels, such as ``bm25 (k=15)``. Values are percentages; the interval
    is a percentile bootstrap of the paired differences, p a paired randomisation test, neither
    corrected for the number of tasks. Raises ConfigError for labels or scores that are not there.
    """
    tables = build_entries(runs_dir)
    a, b = (_row(given, [entries for _, entries in tables]) for given in (a, b))
    lines = [
        _line(task, entries[a], entries[b], metric)
        for task, entries in tables
        if a in entries and b in entries
    ]
    if not lines:
        raise InputError(f"{runs_dir}: no task has comparable runs of both '{a}' and '{b}'")
    headers = [text.format(a=markdown_text(a), b=markdown_text(b)) for text in _HEADERS]
    head = f"{metric}, percentages; difference: {markdown_text(b)} minus {markdown_text(a)}."
    both = [entries[label] for _, entries in tables for label in (a, b) if label in entries]
    head = " ".join([head, *dict.fromkeys(_caution(entry) for entry in both if entry.is_apart)])
    return f"{head}\n\n{pipe_table(headers, lines)}"


def _row(given: str, tables: Sequence[Entries]) -> str:
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
        raise ConfigError(f"no row is called '{given}'{did_you_mean(given, sorted(names))}")
    return label


def _caution(entry: Entry) -> str:
    """Why a leaderboard leaves the row out of its comparison."""
    why = "is shown gold" if entry.oracle else "is not known to be of this corpus"
    return f"Caution: {markdown_text(entry.label)} {why}, so no leaderboard compares it."


def _line(task: str, a: Entry, b: Entry, metric: str) -> list[str]:
    scores = [entry.values(metric) for entry in (a, b)]
    if any(values is None for values in scores):
        known = sorted(set(a.runs[0].scores) & set(b.runs[0].scores))
        raise ConfigError(f"{task}: not scored on '{metric}'{did_you_mean(metric, known)}")
    first, second = (np.asarray(values) for values in scores)
    kept = ~np.isnan(first) & ~np.isnan(second)
    if not kept.any():
        raise InputError(f"{task}: no question has a '{metric}' for both methods")
    first, second = first[kept], second[kept]
    low, high = difference_ci(second - first)
    p = paired_randomisation_test(first, second)
    return [
        markdown_text(task),
        f"{first.size:,}",
        f"{100 * first.mean():.1f}",
        f"{100 * second.mean():.1f}",
        f"{100 * (second - first).mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        f"{p:.4f}",
    ]
