"""Rows of study: token ids that the model reads, and those of them that it learns to write."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.prompts import Prompt
from harness.records import Passage
from methods.parametric_qa.write.sequences import Row, end_token
from methods.study.prompts import closed_book
from methods.study.questions import Asked

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

PIECE = 256
"""Tokens of a text that are read at once: what a step holds is bounded."""
_SORTED = 8
"""Batches whose rows are sorted by length among themselves, so that few places are padded."""
_ALIKE = 2.0
"""How many times longer the longest row of a group may be than its shortest."""


def text_rows(llm: LocalModel, passages: Sequence[Passage]) -> list[Row]:
    """Each passage as its own text, in pieces, all of which is learnt but the first token."""
    rows = []
    for passage in passages:
        ids = [*llm.begins, *llm.runtime.encoder.ids(passage.contents, whole=False), end_token(llm)]
        for start in range(0, len(ids), PIECE):
            piece = ids[start : start + PIECE]
            if len(piece) > 1:
                rows.append(Row([piece[:1]], [], piece[1:]))
    return rows


def question_rows(llm: LocalModel, asked: Sequence[Asked]) -> list[Row]:
    """Each question as the model is asked without passages; its answer and its end are learnt."""
    rows = []
    for each in asked:
        ids, target = reply_ids(llm, closed_book(each.question), each.answer)
        rows.append(Row([ids], [], target))
    return rows


def reply_ids(llm: LocalModel, prompt: Prompt, reply: str) -> tuple[list[int], list[int]]:
    """Token ids of a prompt, and of a reply with what ends it: the line, or a chat's turn."""
    before = "" if llm.prompt_style == "chat" else " "
    said = f"{before}{reply}{llm.turn_end or chr(10)}"
    ids, (target,) = llm.pairs(prompt.render(llm.prompt_style), [said])
    return ids, target


def batches(rows: Sequence[Row], size: int, steps: int, seed: int) -> Iterator[list[Row]]:
    """``steps`` batches of ``size`` rows; every row comes once before any comes again.

    Which rows share a batch follows from the seed alone.
    """
    left, epoch = steps, 0
    while left:
        source = random.Random(f"{seed} epoch {epoch}")  # noqa: S311
        order = source.sample(range(len(rows)), len(rows))
        groups: list[list[int]] = []
        for start in range(0, len(order), _SORTED * size):
            near = sorted(order[start : start + _SORTED * size], key=lambda i: _shape(rows[i]))
            groups += [near[first : first + size] for first in range(0, len(near), size)]
        source.shuffle(groups)
        for group in groups[:left]:
            yield [rows[i] for i in group]
        left -= len(groups[:left])
        epoch += 1


def alike(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows in groups of similar length, the shortest first: each is read without the others.

    Beside a passage's text, questions of 20 tokens would be padded to 200 (measured on ten passages
    with 32 questions each, batches of 16: a third of all positions, half of all logits).
    """
    groups: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: row.length):
        if groups and row.length <= _ALIKE * groups[-1][0].length:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _shape(row: Row) -> tuple[int, int]:
    return len(row.target), row.length
