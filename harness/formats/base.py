"""The Format contract: a source that is read as a stream of passages and questions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

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


Item = Passage | Asked | Dropped


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
    gold: ClassVar[Literal["all", "any"]] = "all"
    """Whether an answer takes all gold documents or any of them; goes into task.yaml."""
    hops: ClassVar[Literal["single", "multi"] | None] = None
    """Goes into task.yaml."""

    class Options(BaseModel):
        """What ``-o name=value`` may set; each field with a description."""

        model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, options: BaseModel) -> None:
        self.options = options

    @abstractmethod
    def read(self, source: Path) -> Iterator[Item]:
        """Everything of the source, in its order, held in memory a row at a time."""
