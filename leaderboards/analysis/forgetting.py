"""Forgetting that was measured beside runs: what a method's weights cost the model's own answers.

``memory-harness evaluate-forgetting --method NAME --documents N --out RUNS/forgetting/...`` leaves
a summary.json; here it is read, nothing is measured. A figure is of that method with those
parameters, on the same task and model; its documents are those of the memory that was in force.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.boards.method_entry import own_name
from harness.errors import InputError
from harness.files import read_json
from leaderboards.collect import Run

FOLDER = "forgetting"
"""Below a folder of runs."""
_MEASURE, _BY_CONSTRUCTION = "f1 closed book", "closed book"
_FITTED = "shots"
"""As many as a task has train questions for, so it may differ between tasks."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Closed-book F1 with a method's weights in force, less without, -1 to 1, and its interval.

    Of a method that changes no weight that all questions share it is 0 by construction, without an
    interval and ``questions``.
    """

    task: str
    model: str
    method: str
    params: Mapping[str, Any]
    documents: int
    difference: float
    interval: tuple[float, float] | None
    questions: int | None

    def is_of(self, run: Run, documents: int) -> bool:
        """Whether it is of a run's method and model, over so many documents of its task."""
        config = run.manifest.config
        if (self.task, own_name(self.method)) != (config.task.name, config.method.name):
            return False
        if self.model not in (config.model.name, config.model.called):
            return False
        given = {name: v for name, v in config.method.params.items() if name != _FITTED}
        if any(self.params.get(name, v) != v for name, v in given.items()):
            return False
        return self.interval is None or self.documents == documents


def find_forgotten(runs_dir: Path) -> list[Forgotten]:
    """All figures below the folder, fewest documents first.

    Raises InputError for a file that is damaged, naming it.
    """
    found: list[Forgotten] = []
    for path in sorted((runs_dir / FOLDER).rglob("summary.json")):
        try:
            found += _read(read_json(path))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{path}: not what evaluate-forgetting writes ({error!r}); restore or delete it"
            ) from error
    return sorted(found, key=lambda one: (one.task, one.method, one.documents))


def _read(values: Mapping[str, Any]) -> Iterator[Forgotten]:
    facts = values["facts"]
    for line in values["summary"]:
        if line["measure"] not in (_MEASURE, _BY_CONSTRUCTION):
            continue
        measured = line["measure"] == _MEASURE
        yield Forgotten(
            task=line["task"],
            model=facts["model"],
            method=line["method"],
            params=facts["methods"][line["method"]],
            documents=int(facts["documents"][line["task"]][0]),
            difference=float(line["difference"]) if measured else 0.0,
            interval=(float(line["low"]), float(line["high"])) if measured else None,
            questions=int(line["n"]) if measured else None,
        )
