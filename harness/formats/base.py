"""The Format contract: a source that is read as a stream of passages and questions."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from harness.errors import InputError
from harness.records import Passage, Question

Part = Literal["questions", "train"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the file of the task folder that it goes to.

    Its gold ids may name passages that come later, or never: those are taken out and counted.
    """

    question: Question
    part: Part = "questions"


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something of the source that was left out, and why: counted, the first one shown.

    ``why`` is the same for all of a kind, such as ``passages without a text``; ``where`` is the
    place of this one, ``corpus.jsonl:17``.
    """

    why: str
    where: str


@dataclass(frozen=True, slots=True)
class Changed:
    """Something that was written otherwise than the source has it: told and counted likewise."""

    why: str
    where: str


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the user about how the source is read, such as which columns were taken."""

    text: str


Item = Passage | Asked | Dropped | Changed | Note


class Format(ABC):
    """One published shape of data. The constructor stores the options; ``read`` streams.

    What cannot be read at all is an InputError that names file, line, field and fix; what can be
    left out is Dropped. Who writes the folder merges equal passages of one id, drops different ones
    of one id, and looks whether gold passages are there: a format does not.
    """

    summary: ClassVar[str]
    """One line: whose format it is."""
    source: ClassVar[str]
    """One line: what SOURCE must be, a folder with which files, or a file."""
    gold: Literal["all", "any"] = "all"
    """Whether an answer takes all gold documents or any of them; goes into task.yaml."""
    hops: ClassVar[Literal["single", "multi"] | None] = None
    """Goes into task.yaml."""
    scoring: ClassVar[Mapping[str, Any]] = {}
    """Further keys of task.yaml, by which the dataset's own script scores: ``closed_answers``."""

    class Options(BaseModel):
        """What ``-o name=value`` may set; each field with a description."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: BaseModel) -> None:
        self.options = options

    def files(self, source: Path) -> Iterable[Path]:
        """The files that will be read, as far as they are known: progress is counted in them."""
        return source_files(source)

    @abstractmethod
    def read(self, source: Path) -> Iterator[Item]:
        """Everything of the source, in its order, held in memory a row at a time."""


def source_files(source: Path) -> list[Path]:
    """A file itself, or all files of a folder by name, at any depth, hidden ones left out.

    Links to folders, links to nothing and pipes are among them. Raises InputError for a source that
    is not there, or a folder that cannot be listed.
    """
    if not source.is_dir():
        if not source.exists():
            raise InputError(f"{source}: not found; give a file or a folder")
        return [source]

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check it")

    found: list[Path] = []
    for folder, folders, names in os.walk(source, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        found += [Path(folder, name) for name in [*names, *links] if not name.startswith(".")]
    return sorted(found)
