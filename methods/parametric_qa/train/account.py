"""The account of a training, beside what was trained: its tasks, their corpora and questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.boards.learnt import learnt_by
from harness.boards.task_entry import TaskSource
from harness.data.trained_on import TRAINED_ON, TrainedOn, read_record, write_record
from harness.errors import ConfigError, InputError
from harness.files import read_json
from harness.llm.catalogue import resolve_model
from methods.parametric_qa.shared.parts import CONFIG_FILE
from methods.parametric_qa.train.training_data import TrainingTask, read_training_tasks


@dataclass(frozen=True, slots=True)
class Account:
    """The tasks of a training, their corpora's fingerprints and numbers of train questions by name.

    ``trained`` is what is known of its questions; nothing of what was never trained.
    """

    tasks: tuple[TaskSource, ...] = ()
    corpora: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, int] = field(default_factory=dict)
    trained: tuple[TrainedOn, ...] = ()
    model: str | dict[str, Any] | None = None
    """The recipe's."""
    sources: tuple[str, ...] = ()
    """Other rows that were learnt from."""

    def check(self, tasks: Mapping[str, TrainingTask]) -> None:
        """Raise ConfigError unless these are the tasks that were trained on, by name."""
        for name, corpus in self.corpora.items():
            if name not in tasks or tasks[name].corpus.fingerprint != corpus:
                raise ConfigError(
                    f"training used another corpus of '{name}' than ships now, so nobody knows "
                    "which passages it never read; train again: memory-harness train"
                )


def read_account(folder: Path) -> Account:
    """The account in a folder of shared parts; an empty one without any."""
    if not (folder / CONFIG_FILE).is_file():
        return Account()
    values = read_json(folder / CONFIG_FILE)
    training = values.get("training", {})
    corpora = training.get("corpora", {})
    entries = values.get("recipe", {}).get("tasks", list(corpora))
    return Account(
        tuple(map(TaskSource.model_validate, entries)),
        corpora,
        training.get("train questions", {}),
        (read_record(folder, f"what was trained in {folder}"),),
        values.get("recipe", {}).get("model"),
        tuple(training.get("sources", {})),
    )


def record_training(folder: Path) -> dict[str, int]:
    """Note the questions that shared parts learnt from, as training does; how many, by task.

    For parts that were trained before this was noted: the tasks of their recipe are read again.
    Raises ConfigError or InputError if those are not what was trained on.
    """
    account = read_account(folder)
    if not account.corpora:
        raise InputError(f"{folder / CONFIG_FILE}: no account of a training; train again")
    tasks = {task.name: task for task in read_training_tasks(account.tasks)}
    account.check(tasks)
    if account.sources:
        raise ConfigError(
            f"{folder}: also learnt from {', '.join(account.sources)}, whose questions were noted "
            f"in training; restore its {TRAINED_ON} or train again"
        )
    for name, count in account.questions.items():
        if len(tasks[name].train) != count:
            raise ConfigError(
                f"training used {count} train questions of '{name}', {len(tasks[name].train)} are "
                "there now; train again: memory-harness train"
            )
    before = learnt_by(resolve_model(account.model)) if account.model else ()
    write_record(folder, {name: task.questions for name, task in tasks.items()}, before)
    return {name: len(task.questions) for name, task in tasks.items()}
