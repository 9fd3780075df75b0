"""Train questions answered by another method, inside of the ``write`` of one that learns of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engine import Engine
from harness.errors import RunFailedError
from harness.method import Method
from harness.records import Question
from harness.runs.answers import AnswerWriter


@dataclass(slots=True)
class _Rows:
    """Answers by question id; looks like a run's directory to their writer."""

    folder: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def answered(self) -> set[str]:
        return set(self.rows)

    def append(self, question_id: str, line: bytes) -> None:
        self.rows[question_id] = json.loads(line)


async def answer_train(
    parent: Method, strategy: Method, questions: Sequence[Question], label: str
) -> dict[str, dict[str, Any]]:
    """Answer train questions with another method, inside of ``parent``'s ``async def write``.

    Returns their rows (``prediction_row``) by question id, in the order of the questions. Raises
    RunFailedError if a server left one unanswered, or if one kind of failure is all that comes.

    The strategy gets the parent's model, retriever, prompts and seed, and answers as in a run of
    its own; its calls are calls of the parent's write.
    """
    engine, kept = Engine(parent.llm.model), _Rows(Path(label))
    strategy.open(parent.lent)
    writer = AnswerWriter(kept, lambda _: None)

    async def ask(question: Question) -> None:
        writer(await engine.answer(strategy, question.query))

    await parent.each(questions, ask, f"{label}: train questions")
    writer.close(everything=len(questions))
    if writer.unanswered:
        # What is learnt from a server's failures would be wrong, and for ever.
        raise RunFailedError(
            f"{label}: train questions left unanswered: {len(writer.unanswered)}; see to the "
            "model's server and run again, answers so far are kept; the last: "
            + list(writer.unanswered.values())[-1]
        )
    return {question.id: kept.rows[question.id] for question in questions}
