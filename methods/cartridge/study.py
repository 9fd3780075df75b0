"""Study of a pool: what a cartridge learns to write, after prompts with and without the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.prompts import Prompt, QAPrompts
from harness.records import Passage, Query
from methods.study.questions import Asked

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

Learnt = Literal["teacher", "answers", "both"]
"""What a cartridge learns to give: what the teacher expects, the answers themselves, or both."""
LONGEST = 160
"""Tokens of a passage that are learnt as its text."""


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids of a prompt that the teacher reads after a passage, of the student's, and what
    both write."""

    kind: str
    teacher: list[int]
    student: list[int]
    target: list[int]

    @property
    def read(self) -> tuple[list[int], list[int]]:
        """The student's prompt, and what it writes."""
        return self.student, self.target

    @property
    def length(self) -> int:
        """Tokens that the student reads and writes."""
        return len(self.student) + len(self.target)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows that are near in it share a batch with little padding."""
        return len(self.target), self.length


def ask(question: str) -> Prompt:
    """What a reader of a cartridge is asked: the question alone."""
    return Prompt(f"Question: {question}")


def rows_of(
    llm: LocalModel, prompts: QAPrompts, passage: Passage, asked: Sequence[Asked]
) -> list[Row]:
    """Questions that were made of a passage, and its text.

    The teacher reads what a reader of the passage reads: instruction, demonstrations, passage.
    """
    rows = []
    for each in asked:
        whole = prompts.read(Query("", each.question), (passage,))
        rows.append(_row(llm, "question", whole, ask(each.question), each.answer))
    about = Prompt(f"Passage about: {passage.title}", reply_start="Text:")
    text = " ".join(passage.text.split())
    rows.append(_row(llm, "text", about.with_passages((passage,)), about, text))
    return [row for row in rows if row is not None]


def _row(llm: LocalModel, kind: str, whole: Prompt, alone: Prompt, reply: str) -> Row | None:
    """None where the reply becomes other tokens after the two prompts."""
    style = llm.prompt_style
    text = f"{'' if style == 'chat' else ' '}{reply}{llm.turn_end or chr(10)}"
    teacher, (said,) = llm.pairs(whole.render(style), [text])
    student, (target,) = llm.pairs(alone.render(style), [text])
    return Row(kind, teacher, student, target[:LONGEST]) if said == target else None


def tokens(rows: Sequence[Row]) -> int:
    """Tokens that are learnt."""
    return sum(len(row.target) for row in rows)
