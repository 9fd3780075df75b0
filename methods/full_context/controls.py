"""Control of full-context: as many tokens of another pool, so that only length is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from harness.errors import ConfigError
from harness.method import MethodCard
from methods.full_context.chosen import Chosen
from methods.full_context.method import FullContext

if TYPE_CHECKING:
    from harness.data.card import TaskCard
    from harness.data.corpus import Corpus

OTHER = "another task by name, or a corpus file, whose passages are taken in place of the pool's"


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


class FullContextOther(FullContext):
    """Reads passages that say nothing of the questions: must not beat no-retrieval."""

    card = MethodCard(
        title="Full context of another pool",
        summary="Reads as many tokens of another pool's passages before every question; a floor.",
        source="a control of full-context",
        deviations=(
            "The other pool's passages come in its own order, as many as take no more tokens than "
            "full-context's; where nobody counts tokens, as many passages.",
            "Another task's pool may hold an answer by chance.",
        ),
    )

    class Params(FullContext.Params):
        """Those of full-context, and what is read in place of the pool."""

        passages: str = Field("musique", description=OTHER)

    params: Params

    @property
    def inputs(self) -> Mapping[str, str]:
        """What is read in place of the pool."""
        return {"passages": open_pool(self.params.passages).fingerprint}

    def check_task(self, task: TaskCard) -> None:
        """The other pool is not the task's own."""
        check_other(self.params.passages, task)

    def _choose(self, corpus: Corpus) -> Chosen:
        own, room = super()._choose(corpus), self._room()
        tokens = room.tokens(own)
        most = len(own.passages) if tokens is None else None
        room = room if tokens is None else replace(room, budget=tokens)
        other = room.choose(open_pool(self.params.passages), "corpus", self.seed, most)
        return replace(other, left_out=0)

    def _read_ids(self) -> list[str]:
        return []
