"""Kept: what an evaluation of changes has come to, on disk, so that a kill costs little.

Layout of ``OUT/answers/``: a folder for each method with exactly these parameters, model and facts,
in it a folder for each state with its ``predictions.jsonl`` and, when all is answered,
``told.json`` (what it took); ``states/`` with the memories, until the method is done; ``done.json``
then.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from harness.boards.changing.subject import Subject, restored
from harness.files import locked, read_json, to_slug, write_json, writing
from harness.fingerprint import fingerprint

if TYPE_CHECKING:
    from harness.data.task import TaskData
    from harness.llm.base import LanguageModel
    from harness.llm.model_config import ModelConfig

ANSWERS = "answers"


@dataclass(frozen=True, slots=True)
class Kept:
    """The folder of one method."""

    folder: Path

    def place(self, state: str) -> Path:
        """Where a state's answers are."""
        return self.folder / to_slug(state)

    @property
    def states(self) -> Path:
        """Where memories are while there is something to ask."""
        return self.folder / "states"

    def is_told(self, state: str) -> bool:
        """Whether all of a state was answered."""
        return (self.place(state) / "told.json").exists()

    def tell(self, state: str, values: dict[str, Any]) -> None:
        """Put down that all of a state was answered, and what it took."""
        with writing(self.folder):
            self.place(state).mkdir(exist_ok=True)
        write_json(self.place(state) / "told.json", values)

    def told(self, state: str) -> dict[str, Any]:
        """What a state took."""
        found: dict[str, Any] = read_json(self.place(state) / "told.json")
        return found

    def once(self, llm: LanguageModel, subject: Subject, work: Callable[[], None]) -> bool:
        """Do the work on this method unless it is done, with its weights in force meanwhile.

        Returns whether the model's weights were compared before and after. Raises RunFailedError
        if a bit differs.
        """
        done = self.folder / "done.json"
        with writing(self.folder):
            self.states.mkdir(parents=True, exist_ok=True)
        with locked(self.folder, "evaluation"):
            if not done.exists():
                with restored(subject, llm) as compared, subject.in_force(llm):
                    work()
                write_json(done, {"weights_compared": compared})
            shutil.rmtree(self.states)
        return bool(read_json(done)["weights_compared"])


@contextmanager
def answers_folder(out: Path | None) -> Iterator[Path]:
    """Where answers are kept: below the folder of the results, or nowhere for long."""
    if out is None:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        yield out / ANSWERS


def kept(
    folder: Path, subject: Subject, model: ModelConfig, data: TaskData, seed: int, *asked: Any
) -> Kept:
    """The folder of a method; ``asked`` is all else that decides what it answers, as JSON."""
    from harness.boards.run import config_of

    config = config_of(subject.label, subject.new(data), model, data, seed)
    id_ = fingerprint([config.written(), *asked])[:12]
    return Kept(folder / f"{to_slug(data.name)}-{to_slug(subject.label)}-{id_}")
