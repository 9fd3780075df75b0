"""Another pool: passages that say nothing of the questions, for controls of memories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.method import Method

if TYPE_CHECKING:
    from harness.data.card import TaskCard
    from harness.data.corpus import Corpus

OTHER = "another task by name, or a corpus file, whose passages are taken in place of the pool's"
DEFAULT_OTHER = "musique"


def open_pool(name: str) -> Corpus:
    """The corpus of a file, or the shipped one of a task. Raises InputError or ConfigError."""
    from harness.boards.task_entry import open_task
    from harness.data.corpus import Corpus
    from harness.data.task import load_task

    if Path(name).is_file():
        return Corpus.open(name)
    return load_task(open_task(name, own=False)).corpus


def check_other(name: str, task: TaskCard) -> None:
    """Raise ConfigError if the other pool would be the task's own."""
    if name == task.name:
        raise ConfigError(
            f"passages = {name}: that is the pool that is asked about; name another task, or a file"
        )


class OtherPool(Method):
    """What controls share whose parameter ``passages`` names what is taken in the pool's place."""

    params: Any

    @property
    def inputs(self) -> Mapping[str, str]:
        """What is taken in place of the pool."""
        return {"passages": open_pool(self.params.passages).fingerprint}

    def check_task(self, task: TaskCard) -> None:
        """The other pool is not the task's own."""
        check_other(self.params.passages, task)
