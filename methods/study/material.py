"""Material: everything that is studied of some passages, as rows, with its tokens counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.records import Passage
from methods.study.questions import questions_of
from methods.study.rows import question_rows, text_rows

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from methods.parametric_qa.write.sequences import Row


_CURVE = 20
"""Of the losses of all steps, how many means are kept."""


@dataclass(frozen=True, slots=True)
class Material:
    """Rows, and the tokens of the texts and of what was made of them."""

    rows: tuple[Row, ...]
    source_tokens: int
    made_tokens: int

    @property
    def made_per_source(self) -> float:
        """Tokens of what was made of the texts, for each token of these."""
        return round(self.made_tokens / self.source_tokens, 3)


def joined(parts: Sequence[Material]) -> Material:
    """Materials as one, in their order."""
    return Material(
        tuple(row for part in parts for row in part.rows),
        sum(part.source_tokens for part in parts),
        sum(part.made_tokens for part in parts),
    )


def of_text(llm: LocalModel, passages: Sequence[Passage]) -> Material:
    """The passages themselves."""
    rows = text_rows(llm, passages)
    return Material(tuple(rows), _tokens(rows), 0)


def of_questions(llm: LocalModel, passages: Sequence[Passage], most: int, seed: int) -> Material:
    """The passages, and at most so many questions made of each by rule."""
    texts = text_rows(llm, passages)
    asked = [each for passage in passages for each in questions_of(passage, most, seed)]
    made = question_rows(llm, asked)
    said = sum(llm.count_tokens(f" {each.question} {each.answer}") for each in asked)
    return Material((*texts, *made), _tokens(texts), said)


def of_made(llm: LocalModel, passages: Sequence[Passage], made: Sequence[Passage]) -> Material:
    """The passages, and texts that were made of them."""
    texts, more = text_rows(llm, passages), text_rows(llm, made)
    return Material((*texts, *more), _tokens(texts), _tokens(more))


def told(material: Material, losses: Sequence[float], documents: int) -> dict[str, Any]:
    """What was studied, for whoever looks into a memory."""
    size = max(1, len(losses) // _CURVE)
    parts = [losses[first : first + size] for first in range(0, len(losses), size)]
    return {
        "documents": documents,
        "rows": len(material.rows),
        "source_tokens": material.source_tokens,
        "made_tokens": material.made_tokens,
        "made_per_source": material.made_per_source,
        "steps_per_loss": size,
        "losses": [round(sum(part) / len(part), 4) for part in parts],
    }


def _tokens(rows: Sequence[Row]) -> int:
    return sum(row.length for row in rows)
