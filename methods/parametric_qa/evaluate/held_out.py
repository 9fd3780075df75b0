"""Questions of a task that the training of shared parts held out, for shared parts of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.leaks import part_asked
from harness.errors import ConfigError, InputError
from harness.fingerprint import sample_by_hash
from methods.parametric_qa.reader import check_shared
from methods.parametric_qa.shared.bundle import Bundle
from methods.parametric_qa.shared.parts import CONFIG_FILE
from methods.parametric_qa.train.account import read_account
from methods.parametric_qa.train.row_sources import source_tasks
from methods.parametric_qa.train.training_data import TrainingTask, read_training_tasks

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig
    from harness.records import Question


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Trained shared parts, and questions of a task that their training held out."""

    shared: str
    bundle: Bundle
    task: TrainingTask
    questions: list[Question]


def read_held_out(
    shared: str, task: str, limit: int, model: ModelConfig, rows: Path | None = None
) -> HeldOut:
    """At most ``limit`` questions, a fixed random sample; ``rows`` is the folder of sources.

    Raises ConfigError for shared parts whose codes are tokens, that have no account of their
    training or did not learn from the task, and InputError for too few questions.
    """
    bundle = check_shared(shared, model)
    assert bundle is not None and bundle.folder is not None  # a name was given
    if bundle.parts.config.picks:
        raise ConfigError(
            f"the codes of '{shared}' are tokens of the text, stored as ids: there are no numbers "
            "to leave out; give shared parts whose codes are vectors"
        )
    account = read_account(bundle.folder)
    if not account.corpora:
        raise ConfigError(
            f"{bundle.folder / CONFIG_FILE}: no account of a training, so nobody knows which "
            "questions were held out; train again: memory-harness train"
        )
    tasks = {known.name: known for known in read_training_tasks(account.tasks)}
    account.check(tasks)
    if task not in tasks:
        raise ConfigError(
            f"--task {task}: '{shared}' was trained on {', '.join(tasks)}, and which questions it "
            "held out is known of these alone; name one"
        )
    learnt = [*tasks.values(), *source_tasks(account.sources, account.tasks, rows)]
    taught = [question for known in learnt for question in known.train]
    left, _ = part_asked(tasks[task].validation, taught)
    questions = sample_by_hash(left, limit, lambda question: question.id)
    if len(questions) < 2:
        raise InputError(
            f"training of '{shared}' held out {len(questions)} questions of '{task}', too few to "
            "compare; name another task that it was trained on"
        )
    return HeldOut(shared, bundle, tasks[task], questions)
