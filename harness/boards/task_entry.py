"""The questions and corpus that a board's task entry names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from harness.registry import names, task_folder

if TYPE_CHECKING:
    from harness.data.task import TaskData


class TaskFiles(BaseModel):
    """Local files and places; all optional. Those in a board's file lie beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    questions: Path | None = None
    train: Path | None = None
    corpus: Path | None = None
    data_dir: Path | None = None
    revision: str | None = None


def load_task_data(
    name: str, split: str, limit: int | None, files: TaskFiles, documents: int | None = None
) -> TaskData:
    """Load a task of the table, or local files under a name of the user's own.

    ``documents`` cuts the corpus to a sub-pool of so many passages.
    """
    from harness.data.card import Task, custom_task
    from harness.data.task import load_task

    own = files.questions is not None and name not in names("tasks")
    task = custom_task(name) if own else Task.from_folder(task_folder(name))
    return load_task(task, split=split, limit=limit, documents=documents, **files.model_dump())
