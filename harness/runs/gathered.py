"""Gathered runs: their answers come from other machines, their folder is as if it were not so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness.files import writing
from harness.runs.directory import RunDirectory
from harness.runs.ending import end_run
from harness.runs.gold import gold_path, write_gold
from harness.runs.machine import AnsweredOn
from harness.runs.manifest import MANIFEST, Manifest, read_manifest
from harness.runs.other_machines import going_on
from harness.runs.performance import Storage, read_performance, update_performance
from harness.runs.plan import RunPlan
from harness.runs.provenance import with_adapted
from harness.runs.unanswered import read_unanswered


class Gathered:
    """A run's folder while other machines answer; a context manager, resumable whatever ends it.

    ``left`` are the ids of the questions that have no answer yet, in the run's order.
    """

    run: RunDirectory
    has_failed = False
    """Set by whoever finds that the run cannot go on."""

    def __init__(self, plan: RunPlan, root: Path, by: str) -> None:
        self.plan, self.root, self.by = plan, root, by
        self.folder = plan.config.folder(root)
        self.left: dict[str, None] = {}
        self._held = ExitStack()
        self._storage: Storage | None = None
        self._machines, self._begun = Counter[str](), False
        self._unanswered: dict[str, str] = {}

    def __enter__(self) -> Gathered:
        with writing(self.root):
            write_gold(gold_path(self.root, self.plan.config.task), self.plan.data.questions)
        ids = tuple(question.id for question in self.plan.data.questions)
        self.run = self._held.enter_context(RunDirectory(self.folder, ids))
        left = self.plan.left(self.run.answered, self.run.failed)
        self.left = dict.fromkeys(query.id for query in left)
        self._before = read_unanswered(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        with self._held:
            self._note_machines()

    @property
    def is_begun(self) -> bool:
        """Whether there is any answer."""
        return bool(self.run.answered)

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Take the manifest of the machine that asks first."""
        if self._begun:
            return
        self._begun = True
        known = self._known()
        new = Manifest.model_validate({**manifest, **({"answered_on": known} if known else {})})
        self.run.write_manifest(going_on(self.run, new))

    def take(self, question_id: str, line: bytes, machine: str) -> bool:
        """Keep an answer from a machine; False for one that is there already."""
        if question_id not in self.left:
            return False
        self.run.append(question_id, line)
        del self.left[question_id]
        self._machines[machine] += 1
        return True

    def note(self, told: Mapping[str, Any]) -> None:
        """Put down what a machine says of the questions that it was handed."""
        self._storage = Storage.model_validate(told["storage"])
        self._unanswered |= told["unanswered"]
        if told["retries"]:
            before = read_performance(self.folder).retries or 0
            update_performance(self.folder, retries=before + told["retries"])
        known = read_manifest(self.folder).model_provenance
        now = with_adapted(told["provenance"], known)
        if now != known:
            self.run.change_manifest(model_provenance=now)

    def end(self) -> None:
        """Put down that every question was asked, and score the answers."""
        self._note_machines()
        if not self._begun:  # all that is left is scoring, by what the task's card says today
            self.run.change_manifest(**self.plan.data.card.scored_by)
        end_run(self.run, self._before | self._unanswered, self._storage)

    def stop(self) -> None:
        """What earlier sessions came to still stands if they had asked everything."""
        if self._begun and set(self.run.question_ids) <= self.run.answered | self._before.keys():
            self._note_machines()
            end_run(self.run, self._before, self._storage)

    def _known(self) -> AnsweredOn | None:
        """Whose the answers are that were there before."""
        if not self.run.answered or not (self.folder / MANIFEST).exists():
            return None
        before = read_manifest(self.folder)
        count = len(self.run.answered)
        return before.answered_on or AnsweredOn(by=self.by, machines={before.hardware.text: count})

    def _note_machines(self) -> None:
        if not self._machines:
            return
        known = read_manifest(self.folder).answered_on
        machines = Counter(known.machines if known else {}) + self._machines
        self.run.change_manifest(answered_on=AnsweredOn(by=self.by, machines=dict(machines)))
        self._machines.clear()
