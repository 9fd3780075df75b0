"""The questions and corpus that a task's entry names, in a board, a recipe or on a command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from harness.data.lm_eval_task import (
    LmEvalTask,
    is_lm_eval,
    lm_eval_name,
    lm_eval_task,
)
from harness.errors import ConfigError, InputError
from harness.files import expanded, possible
from harness.llm.powers import REMOTE_CODE, check_power
from harness.registry import is_known, task_folder

if TYPE_CHECKING:
    from harness.data.card import Task
    from harness.data.corpus import Corpus
    from harness.data.task import TaskData
    from harness.records import Question


class TaskFiles(BaseModel):
    """Local files and places; all optional. Those in a board's or recipe's file lie beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    questions: Path | None = None
    train: Path | None = None
    corpus: Path | None = None
    data_dir: Path | None = None
    revision: str | None = None

    @field_validator("questions", "train", "corpus", "data_dir")
    @classmethod
    def _possible(cls, path: Path | None) -> Path | None:
        return path and possible(path)


class TaskSource(BaseModel):
    """A task: a name of the table, a path to its card, or local files under a name of one's own.

    A path has a ``/`` or ends in ``.yaml``: a folder with a task.yaml, or a card's file.
    ``lm-eval:NAME`` is a task of lm-eval's over a corpus file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    split: str = "sample"
    files: TaskFiles = TaskFiles()

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _as_given(self, written: SerializerFunctionWrapHandler) -> Any:
        return self.name if self == type(self)(name=self.name) else written(self)

    def __repr__(self) -> str:
        return repr(self.model_dump(mode="json"))

    @property
    def is_of_table(self) -> bool:
        """Whether it is a known task's shipped sample, which its name says all about."""
        return self == type(self)(name=self.name) and not is_path(self.name)

    @property
    def given_files(self) -> list[Path]:
        """The files that it names. Raises InputError for one that is not there."""
        given = [self.files.questions, self.files.train, self.files.corpus]
        files = [path for path in given if path is not None]
        for path in files:
            if not path.is_file():
                raise InputError(f"{path}: file not found; check the path")
        return files

    @property
    def is_custom(self) -> bool:
        """Whether its name is one of the user's own, so that it has no files but those given."""
        named = is_path(self.name) or is_lm_eval(self.name)
        return not named and not is_known("tasks", self.name)

    def load(self, limit: int | None = None) -> TaskData:
        """The questions and corpus. Raises InputError."""
        return load_task_data(self.name, self.split, limit, self.files)

    def corpus(self) -> tuple[str, Corpus]:
        """The task's name and its corpus; with a corpus file alone, no questions are needed."""
        from harness.data.corpus import Corpus

        if self.files.corpus is not None and self.files.questions is None:
            return open_task(self.name, own=True).name, Corpus.open(self.files.corpus)
        data = self.load()
        return data.name, data.corpus

    def train_questions(self) -> tuple[Question, ...]:
        """The train questions alone. Raises InputError if there are none."""
        from harness.data.questions import read_questions
        from harness.data.splits import find_source

        path, files = self.files.train, self.files
        if path is None and is_lm_eval(self.name):
            path = _lm_eval_task(self.name).train
        task = open_task(self.name, own=path is not None)
        if path is None and not is_lm_eval(self.name):
            source = find_source(task, self.split, files.data_dir, files.revision, verify=True)
            path = source.find("train")
        if path is None:
            raise InputError(
                f"task '{task.name}' has no train questions to learn from; leave it out or give "
                "files: {train: FILE}"
            )
        return read_questions(path)


def is_path(name: str) -> bool:
    """Whether a task's name is a path to its card."""
    return not is_lm_eval(name) and ("/" in name or name.endswith((".yaml", ".yml")))


def open_task(name: str, *, own: bool) -> Task:
    """The card of a task; with files of one's ``own``, a name need not be known.

    Raises ConfigError for an unknown name.
    """
    from harness.data.card import Task, custom_task

    if is_lm_eval(name):
        return custom_task(lm_eval_name(name))
    if is_path(name):
        place = expanded(name)
        card = place if place.suffix in (".yaml", ".yml") else place / "task.yaml"
        if not card.is_file():
            raise ConfigError(
                f"unknown task '{name}': there is no {card}; give the folder of a task.yaml, or a "
                "name of 'memory-harness list tasks'"
            )
        return Task.from_folder(place)
    is_custom = own and not is_known("tasks", name)
    return custom_task(name) if is_custom else Task.from_folder(task_folder(name))


def load_task_data(
    name: str, split: str, limit: int | None, files: TaskFiles, documents: int | None = None
) -> TaskData:
    """Load a task of the table, of a card, or local files under a name of the user's own.

    ``documents`` cuts the corpus to a sub-pool of so many passages.
    """
    from harness.data.task import load_task

    if is_lm_eval(name):
        return _load_lm_eval(name, split, limit, files, documents)
    task = open_task(name, own=files.questions is not None)
    return load_task(task, split=split, limit=limit, documents=documents, **files.model_dump())


def _lm_eval_task(name: str) -> LmEvalTask:
    """lm-eval's task. Raises ConfigError for a file of somebody's own unless code may be run.

    Its templates can do what Python can, and it names functions of files beside it.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        check_power(REMOTE_CODE, f"task '{name}' runs code that its file names or holds")
    return lm_eval_task(name)


def _load_lm_eval(
    name: str, split: str, limit: int | None, files: TaskFiles, documents: int | None
) -> TaskData:
    from harness.data.card import Task, TaskCard
    from harness.data.task import load_task

    if split != "sample" or files.questions or files.data_dir or files.revision:
        raise InputError(
            f"task '{name}' has the questions that lm-eval evaluates: leave out the split, the "
            "questions, the data folder and the revision"
        )
    if files.corpus is None:
        raise InputError(f"task '{name}' needs a corpus to search; give one: --corpus FILE")
    if not files.corpus.is_file():
        raise InputError(f"{files.corpus}: file not found; check the path")
    found = _lm_eval_task(name)
    data = load_task(
        Task(TaskCard(name=found.name, title=found.title)),
        questions=found.questions,
        train=files.train or found.train,
        corpus=files.corpus,
        limit=limit,
        documents=documents,
    )
    return replace(data, split=found.split, provenance={**data.provenance, **found.provenance})
