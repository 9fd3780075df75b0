"""Unanswered questions on a board: all rows of a table stand on the questions that each answered.

A server that fails picks questions by no rule that a score could be corrected for: long prompts run
into a timeout more often than short ones. So no row may keep questions that another lacks, else
means are of different questions and nothing is paired. A run that would take too many questions
from all the others is left out instead, as unfinished ones are. Running the same board again has
the questions answered, and the table is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from harness.fingerprint import canonical_json
from leaderboards.collect import Run, Unfinished

MOST_UNANSWERED = 0.1
"""Largest share of a table's questions that is left out of every row: a tenth widens its intervals
by about one in twenty."""


def over_the_same_questions(
    runs: Sequence[Run], *, across_corpora: bool = False
) -> tuple[list[Run], list[Unfinished]]:
    """The runs that can be compared, each over the questions of its table that all answered.

    The other part are those that left too many unanswered, the most of them first.
    ``across_corpora``: the tables of growing corpora count as one.
    """
    tables: dict[str, list[Run]] = {}
    for run in runs:
        version = run.metrics_version
        shared = run.manifest.comparable(version, across_corpora=across_corpora)
        tables.setdefault(canonical_json(shared), []).append(run)
    kept: dict[Run, Run] = {}
    left_out: list[Unfinished] = []
    for members in tables.values():
        same = sorted(members, key=lambda run: (len(run.unanswered), str(run.folder)))
        while same and len(_lost(same)) > MOST_UNANSWERED * same[0].manifest.config.task.asked:
            worst = same.pop()
            left_out.append(Unfinished(worst.manifest, len(worst.question_ids)))
        lost = _lost(same)
        kept |= {run: without(run, lost) for run in same}
    return [kept[run] for run in runs if run in kept], left_out


def why_unanswered(*, only_external: bool) -> tuple[str, str]:
    """Why rows lack questions, and what can be done, for a caption."""
    if only_external:
        return "there is no answer", ""
    again = " Running the same board again asks them again."
    return "the model's server left them unanswered", again


def _lost(runs: Iterable[Run]) -> frozenset[str]:
    return frozenset[str]().union(*(run.unanswered for run in runs))


def without(run: Run, lost: frozenset[str]) -> Run:
    """The run over its other questions."""
    keep = np.array([id_ not in lost for id_ in run.question_ids], dtype=bool)
    if keep.all():
        return run
    return replace(
        run,
        question_ids=tuple(id_ for id_ in run.question_ids if id_ not in lost),
        scores={name: values[keep] for name, values in run.scores.items()},
    )
