"""The runs of one method on one task, their seeds joined, and a score with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.errors import InputError
from harness.metrics.statistics import Interval
from harness.runs.external import External
from leaderboards.collect import Floats, Run


@dataclass(frozen=True, slots=True)
class Score:
    """A mean in [0, 1] with its 95% interval over questions; ``std`` is over several seeds.

    Of several seeds the interval is over questions and seeds.
    """

    mean: float
    interval: Interval
    std: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """The runs of one method on one task: the same settings, each with another seed."""

    label: str
    runs: tuple[Run, ...]

    @property
    def oracle(self) -> bool:
        """Whether the method is shown gold."""
        return any(run.manifest.method_card.oracle for run in self.runs)

    @property
    def external(self) -> External | None:
        """Where results came from that another program made; None for runs."""
        return self.runs[0].manifest.external

    @property
    def is_apart(self) -> bool:
        """Whether it takes no part in the comparison: shown gold, or of no known corpus."""
        return self.oracle or (self.external is not None and self.external.corpus != "same")

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in rising order."""
        return tuple(run.manifest.config.seed for run in self.runs)

    @property
    def errors(self) -> int:
        """Answers of all seeds that count as wrong because the method failed."""
        return sum(run.errors for run in self.runs)

    @property
    def failures(self) -> Mapping[str, int]:
        """The same by kind of error, where it is known."""
        return dict(sum((Counter(run.failures) for run in self.runs), Counter()))

    def values(self, metric: str) -> Floats | None:
        """Per-question scores (n,) averaged over seeds; NaN or None where there are none."""
        arrays = [run.scores.get(metric) for run in self.runs]
        known = [array for array in arrays if array is not None]
        return np.mean(known, axis=0) if len(known) == len(arrays) else None

    def mean(self, metric: str) -> float | None:
        """Mean over the questions that have this score."""
        values = self.values(metric)
        known = values[~np.isnan(values)] if values is not None else np.empty(0)
        return float(known.mean()) if known.size else None


Entries = Mapping[str, Entry]


def make_entries(runs: Mapping[str, Sequence[Run]]) -> dict[str, Entry]:
    """Join the seeds of each label; all runs must be over the same questions."""
    entries = {}
    first: Run | None = None
    for label, members in sorted(runs.items()):
        ordered = tuple(sorted(members, key=lambda run: run.manifest.config.seed))
        for one, other in pairwise(ordered):
            if one.manifest.config.seed == other.manifest.config.seed:
                raise InputError(
                    f"{one.folder} and {other.folder}: the same run twice; remove one of them"
                )
        for run in ordered:
            first = first or run
            if run.question_ids != first.question_ids:
                raise InputError(
                    f"{run.folder}: other question ids than {first.folder} under the same "
                    "questions_fingerprint; run the older one again"
                )
        entries[label] = Entry(label, ordered)
    return entries
