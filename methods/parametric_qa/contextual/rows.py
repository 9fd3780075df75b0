"""Rows that the reader reads: memories, a prompt and what is to be predicted, right-padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from methods.parametric_qa.contextual.network import Weights
from methods.parametric_qa.contextual.pool import Array, Pool
from methods.parametric_qa.contextual.student import Passes


@dataclass(frozen=True, slots=True)
class Row:
    """Memories by their number, best last, then tokens, of which the last ``count`` are targets.

    ``weights`` are numbers in the batch's table of memory weights, one a memory; ``first`` is
    where the targets stand among all answers, -1 if they are no answer.
    """

    memories: Sequence[int]
    tokens: Array
    count: int
    first: int = -1
    number: int = 0


@dataclass(frozen=True, slots=True)
class Targets:
    """Logits [targets, vocabulary] with labels, their row and their place among all answers."""

    logits: Tensor
    labels: Tensor
    rows: Tensor
    places: Tensor


def read_rows(
    passes: Passes,
    weights: Weights,
    rows: Sequence[Row],
    memories: Tensor | None = None,
    shares: Tensor | None = None,
) -> Targets:
    """Run the reader; logits where a target is predicted.

    ``memories`` [documents, 1 + slots, hidden] are what rows count in; ``shares`` [rows of the
    table, documents] multiply them, by a row's ``number``.
    """
    each = 0 if memories is None else memories.shape[1]
    lengths = [each * len(row.memories) + len(row.tokens) - 1 for row in rows]
    ids = np.zeros((len(rows), -(-max(lengths) // 8) * 8), dtype=np.int64)
    at: list[Array] = []
    for n, row in enumerate(rows):
        skip = each * len(row.memories)
        ids[n, skip : lengths[n]] = row.tokens[:-1]
        at.append(np.arange(lengths[n] - row.count, lengths[n]))
    counts = [row.count for row in rows]
    owners = passes.tensor(np.repeat(np.arange(len(rows)), counts))
    columns = passes.tensor(np.concatenate(at))
    labels = passes.tensor(
        np.concatenate([row.tokens[-row.count :].astype(np.int64) for row in rows])
    )
    places = np.concatenate(
        [
            np.full(row.count, -1) if row.first < 0 else row.first + np.arange(row.count)
            for row in rows
        ]
    )
    x = F.embedding(passes.tensor(ids), passes.embed)
    if memories is not None:
        x = _with_memories(passes, x, rows, memories, shares)
    hidden = passes.run(weights, x)[owners, columns]
    return Targets(F.linear(hidden, passes.head), labels, owners, passes.tensor(places))


def _with_memories(
    passes: Passes, x: Tensor, rows: Sequence[Row], memories: Tensor, shares: Tensor | None
) -> Tensor:
    each = memories.shape[1]
    found = [
        (n, place, document, row.number)
        for n, row in enumerate(rows)
        for place, document in enumerate(row.memories)
    ]
    if not found:
        return x
    owner, place, document, number = passes.tensor(found).unbind(dim=1)
    columns = place[:, None] * each + torch.arange(each, device=x.device)
    values = memories[document]
    if shares is not None:
        values = values * shares[number, document][:, None, None]
    return x.index_put((owner[:, None].expand_as(columns), columns), values.to(x.dtype))


def text_row(pool: Pool, number: int) -> Row:
    """A question with its first gold passage as text, as a reader of text sees it."""
    gold = int(pool.gold[number][0])
    shown = pool.passages[gold][int(pool.skips[gold]) :]
    answer = pool.answers[number]
    before, after = pool.text[0], pool.text[1]
    parts = [before, pool.leads[gold], shown, after, pool.questions[number], answer]
    first = int(pool.answers.starts[number])
    return Row((), np.concatenate(parts), len(answer), first)


def question_row(pool: Pool, number: int, memories: Sequence[int], own: int) -> Row:
    """A question after some memories; ``own`` is its number in the batch."""
    answer = pool.answers[number]
    tokens = np.concatenate([pool.questions[number], answer])
    return Row(memories, tokens, len(answer), int(pool.answers.starts[number]), own)


def row_means(losses: Tensor, rows: Tensor, count: int) -> Tensor:
    """The mean of each row's losses, averaged over rows (a scalar)."""
    sums = losses.new_zeros(count).index_add(0, rows, losses)
    sizes = losses.new_zeros(count).index_add(0, rows, torch.ones_like(losses))
    return (sums / sizes.clamp_min(1)).sum() / (sizes > 0).sum()
