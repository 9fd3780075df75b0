"""The manifest of a run, as it is written and read: its config, where it was made, its status.

Fields that this release does not know are kept: in a task's or a model's settings they still tell
runs apart. A record is written with the fields it was given, in the order of their declaration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.errors import InputError
from harness.files import check_slug, read_json
from harness.fingerprint import fingerprint
from harness.metrics import Rules
from harness.runs.dealt import Dealt
from harness.runs.external import External
from harness.runs.machine import AnsweredOn as AnsweredOn
from harness.runs.machine import Hardware as Hardware
from harness.runs.machine import Harness as Harness
from harness.runs.record import Count, Record, parse_record
from harness.runs.shard import Shard

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"

DTYPES = ("float32", "bfloat16", "float16")
"""Of local models, the one that goes without saying first."""

RUNNING, FINISHED, INCOMPLETE = "running", "finished", "incomplete"
"""Statuses. ``incomplete``: every question was asked, a server left some unanswered."""

_ALL_TABLES = (
    "name", "split", "limit", "questions_fingerprint", "corpus_fingerprint", "questions",
    "passages", "corpus",
)  # fmt: skip
_ABOUT_QUESTIONS = frozenset({"split", "limit", "questions", "questions_fingerprint", "dealt"})
_ABOUT_CORPUS = frozenset({"corpus", "corpus_fingerprint", "passages", "dealt"})


class TaskConfig(Record):
    """The questions and the corpus of a run. ``limit`` None means all questions."""

    name: str
    split: str
    limit: Count | None = None
    questions: Count
    questions_fingerprint: str
    passages: Count | None = None
    corpus_fingerprint: str
    corpus: str | None = None
    train_fingerprint: str | None = None
    train_metadata: str | None = None
    """Of the train questions' metadata; left out without any and for what a card vouches for."""
    version: int = 1
    """Of the task's card. Left out when it is 1, as in runs made before it counted."""
    hops: str | None = None
    """The card's, of a method that is told them (``Method.reads_task``); left out of others."""
    dealt: Dealt | None = None
    """Which of several pools the corpus is; left out where it is the only one."""

    @property
    def asked(self) -> int:
        """Number of questions the run asks."""
        return self.questions if self.limit is None else min(self.limit, self.questions)

    def settings(self) -> dict[str, Any]:
        """Everything in which the rows of one table must agree.

        What came after the first tables is there only where a run has it.
        """
        every = {name: getattr(self, name) for name in _ALL_TABLES} | self.written()
        return {k: v for k, v in every.items() if k != "hops"}

    def without_questions(self) -> dict[str, Any]:
        """What is left if it does not matter which questions are asked: what a memory is of."""
        return {k: v for k, v in self.written().items() if k not in _ABOUT_QUESTIONS}

    def without_corpus(self) -> dict[str, Any]:
        """The settings that corpora of other sizes share."""
        return {k: v for k, v in self.settings().items() if k not in _ABOUT_CORPUS}


class MethodConfig(Record):
    """A method and all its parameters, defaults included."""

    name: str
    version: int = 1
    prompt_format: int = 1
    params: dict[str, Any] = Field({})
    inputs: dict[str, str] = Field({})
    """Fingerprints of the files that parameters name; left out without any."""


class ModelSettings(Record):
    """A language model by name, and all that changes its predictions.

    The name is that of the plan, with a dtype if a board names one, and part of the run's id.
    """

    name: str

    @property
    def called(self) -> str:
        """What tables call it: the same for the same settings, whoever chose the dtype.

        A board may name float32 or leave it to the CPU, bfloat16 or leave it to the GPU. float32
        goes without saying, any other dtype stands at the end.
        """
        dtype = self.written().get("dtype")
        if dtype not in DTYPES:
            return self.name
        plain = re.sub(rf"-{dtype}(?=-|$)", "", self.name)
        return plain if dtype == DTYPES[0] else f"{plain}-{dtype}"


class RunConfig(Record):
    """Everything that decides a run's predictions, and nothing else."""

    task: TaskConfig
    method: MethodConfig
    model: ModelSettings
    retriever: dict[str, Any] | None = None
    seed: int = 0
    schema_version: int = SCHEMA_VERSION

    def written(self) -> dict[str, Any]:
        """All fields of its own and, of task, method and model, those that were given."""
        return self.model_dump() | super().written()

    @property
    def run_id(self) -> str:
        """First 12 hex digits of the SHA-256 of the canonical config."""
        return fingerprint(self.written())[:12]

    def without_questions(self) -> dict[str, Any]:
        """All fields that are left if it does not matter which questions are asked."""
        return self.written() | {"task": self.task.without_questions()}

    def folder(self, root: Path) -> Path:
        """``root/<task>/<method>/<run id>``."""
        task = check_slug(self.task.name, "task")
        method = check_slug(self.method.name, "method")
        return root / task / method / self.run_id


class CardRecord(Record):
    """A method's own description; an oracle is shown gold that no real system has."""

    title: str = ""
    summary: str = ""
    paper: str = ""
    source: str = ""
    version: int = 1
    oracle: bool = False
    deviations: tuple[str, ...] = ()


class Manifest(Record):
    """One run: how it was made and whether it is finished."""

    schema_version: int
    run_id: str
    config: RunConfig
    method_card: CardRecord = CardRecord()
    non_default_params: dict[str, Any] = Field({})
    method_provenance: dict[str, Any] = Field({})
    """Where files lay that count by their content; left out without any."""
    model_provenance: dict[str, Any] = Field({})
    retriever_provenance: dict[str, Any] | None = None
    task_provenance: dict[str, Any] = Field({})
    metrics: tuple[str, ...] = ()
    """Metrics that the task adds to those always scored; left out without any."""
    scoring: Rules = Rules()
    """How the task is scored; left out where that is as for most tasks."""
    trained_on: dict[str, Count | None] = Field({})
    """Trained parts, and how many questions they learnt from, none of them asked; None: not known.

    Left out if nothing trained took part.
    """
    demonstrations: tuple[str, ...] = ()
    """What to know of them, such as that there are none to show; left out if there is nothing."""
    external: External | None = None
    """Of results that another program made; left out of runs."""
    timing: dict[str, Any] = Field({})
    """The protocol by which single queries were timed; left out where none were."""
    shard: Shard | None = None
    """Which of its questions are asked here, of a run that is never whole; left out of others."""
    answered_on: AnsweredOn | None = None
    """Left out of runs that one process answered where it was started."""
    replies: dict[str, Any] = Field({})
    """Calls, those ``cached`` in earlier runs, day of the ``oldest``; left out without a cache."""
    hardware: Hardware
    harness: Harness = Harness()
    packages: dict[str, Any] = Field({})
    created: str = ""
    status: str

    def written(self) -> dict[str, Any]:
        """The fields it was given, the config whole."""
        return super().written() | {"config": self.config.written()}

    @property
    def is_finished(self) -> bool:
        """Whether every question was answered."""
        return self.status == FINISHED

    @property
    def has_ended(self) -> bool:
        """Whether every question was answered, or left unanswered by a server that failed."""
        return self.status in (FINISHED, INCOMPLETE)

    @property
    def is_of_shipped_slice(self) -> bool:
        """Whether the questions are of a sample that ships with its task."""
        return (
            self.config.task.split == "sample" and self.task_provenance.get("source") == "shipped"
        )

    def comparable(
        self, metrics_version: int | None, *, across_corpora: bool = False
    ) -> dict[str, Any]:
        """Settings, by dotted name, in which all rows of one table must agree.

        ``across_corpora``: all points of one line over growing corpora.
        """
        task, model = self.config.task, self.config.model
        parts = {
            "task": task.without_corpus() if across_corpora else task.settings(),
            "model": model.written() | {"name": model.called},
        }
        flat = {f"{part}.{k}": v for part, values in parts.items() for k, v in values.items()}
        versions = {"schema_version": self.schema_version, "metrics_version": metrics_version}
        rules = {} if self.scoring == Rules() else {"task.scoring": asdict(self.scoring)}
        return flat | versions | rules

    def identity(self) -> Mapping[str, Any]:
        """Settings that make a row: the method and whatever is not task, model or seed."""
        return self.config.model_dump(exclude_unset=True, exclude={"task", "model", "seed"})


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a run, and every question of it was answered."""
    return (folder / MANIFEST).exists() and read_manifest(folder).is_finished


def read_manifest(folder: Path, *, any_schema: bool = False) -> Manifest:
    """A run's manifest. Raises InputError naming the file, the field and the fix.

    ``any_schema`` also takes what another release wrote, for a reader that keeps it apart.
    """
    path = folder / MANIFEST
    values = read_json(path)
    schema = values.get("schema_version", SCHEMA_VERSION) if isinstance(values, dict) else None
    if schema not in (None, SCHEMA_VERSION) and not any_schema:
        raise InputError(
            f"{path}: schema version {schema}, this release reads {SCHEMA_VERSION}; use the "
            "release that wrote it or run again"
        )
    return parse_record(path, values, Manifest, "not a run manifest: ")
