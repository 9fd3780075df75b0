"""Rows of joint training: questions of a passage, and its text, each beside its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness.errors import InputError
from methods.parametric_qa.prompts import MemoryPrompt, reading_prompt, recall_prompt
from methods.parametric_qa.shared.initial import document_tokens
from methods.parametric_qa.write.sequences import Row, end_token
from methods.parametric_qa.write.writing import check_lengths
from methods.study.material import Material
from methods.study.questions import questions_of
from methods.study.rows import reply_ids

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.records import Passage
    from methods.parametric_qa_joint.params import JointParams


@dataclass(frozen=True, slots=True)
class MemoryRow(Row):
    """A row that reads one document's memory.

    Codes change from step to step, so its ``memories`` are [1 + slots, 0], the length alone.
    """

    document: int
    """The passage's number in the pool."""


def material_of(
    llm: LocalModel, passages: Sequence[Passage], slots: int, params: JointParams, seed: int
) -> Material:
    """What is trained on: ``MemoryRow``s of every passage, and the tokens that they come to.

    Raises InputError for a passage that does not fit the window beside its memory, and for a pool
    of which nothing can be asked or recalled.
    """
    documents = [document_tokens(llm, passage) for passage in passages]
    check_lengths(llm, slots, documents, [passage.id for passage in passages])
    recall, ends, place = recall_prompt(), end_token(llm), torch.empty(1 + slots, 0)
    rows, said = list[MemoryRow](), 0

    def add(prompt: MemoryPrompt, target: Sequence[int], document: int) -> None:
        rows.append(MemoryRow(llm.parts(prompt), [place], target, document))

    for number, (passage, tokens) in enumerate(zip(passages, documents, strict=True)):
        for _ in range(params.recalls):
            add(recall, [*tokens, ends], number)
        for asked in questions_of(passage, params.questions, seed):
            prompt = reading_prompt(asked.question, 1)
            add(prompt, reply_ids(llm, prompt, asked.answer)[1], number)
            said += llm.count_tokens(f" {asked.question} {asked.answer}")
    if not rows:
        raise InputError(
            "recalls = 0, and no rule makes a question of any passage (it holds no name, date or "
            "number), so there is nothing to train on; set recalls: 1"
        )
    return Material(tuple(rows), sum(map(len, documents)), said)
