"""Rows that the reader reads: memories, a prompt and what is to be predicted, right-padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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

    ``first`` is where the targets stand among all answers, -1 if they are no answer; ``number`` is
    the row's in the table of what memories are multiplied by; ``begin`` stands before memories.
    """

    memories: Sequence[int]
    tokens: Array
    count: int
    first: int = -1
    number: int = 0
    begin: Sequence[int] = ()


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
    parts: int = 1,
) -> Targets:
    """Run the reader, in so many parts of like length; logits where a target is predicted.

    ``memories`` [documents, 1 + slots, hidden] are what rows count in; ``shares`` [rows of the
    table, documents] multiply them, by a row's ``number``.
    """
    order = sorted(range(len(rows)), key=lambda n: _length(rows[n], memories))
    size = -(-len(rows) // parts)
    found = []
    for first in range(0, len(rows), size):
        numbers = order[first : first + size]
        read = _read(passes, weights, [rows[n] for n in numbers], memories, shares)
        found.append(replace(read, rows=passes.tensor(numbers)[read.rows]))
    together = ("logits", "labels", "rows", "places")
    return Targets(*(torch.cat([getattr(part, name) for part in found]) for name in together))


def _length(row: Row, memories: Tensor | None) -> int:
    """Positions that the reader reads of a row."""
    each = 0 if memories is None else memories.shape[1]
    return len(row.begin) + each * len(row.memories) + len(row.tokens) - 1


def _read(
    passes: Passes,
    weights: Weights,
    rows: Sequence[Row],
    memories: Tensor | None,
    shares: Tensor | None,
) -> Targets:
    lengths = [_length(row, memories) for row in rows]
    ids = np.zeros((len(rows), -(-max(lengths) // 8) * 8), dtype=np.int64)
    for n, row in enumerate(rows):
        ids[n, : len(row.begin)] = row.begin
        ids[n, lengths[n] - len(row.tokens) + 1 : lengths[n]] = row.tokens[:-1]
    counts = [row.count for row in rows]
    owners = passes.tensor(np.repeat(np.arange(len(rows)), counts))
    at = [np.arange(end - count, end) for end, count in zip(lengths, counts, strict=True)]
    labels = [row.tokens[-row.count :].astype(np.int64) for row in rows]
    places = [
        np.full(row.count, -1) if row.first < 0 else row.first + np.arange(row.count)
        for row in rows
    ]
    x = F.embedding(passes.tensor(ids), passes.embed)
    if memories is not None:
        x = _with_memories(passes, x, rows, memories, shares)
    hidden = passes.run(weights, x)[owners, passes.tensor(np.concatenate(at))]
    return Targets(
        F.linear(hidden, passes.head),
        passes.tensor(np.concatenate(labels)),
        owners,
        passes.tensor(np.concatenate(places)),
    )


def _with_memories(
    passes: Passes, x: Tensor, rows: Sequence[Row], memories: Tensor, shares: Tensor | None
) -> Tensor:
    each = memories.shape[1]
    found = [
        (n, len(row.begin) + place * each, document, row.number)
        for n, row in enumerate(rows)
        for place, document in enumerate(row.memories)
    ]
    if not found:
        return x
    owner, first, document, number = passes.tensor(found).unbind(dim=1)
    columns = first[:, None] + torch.arange(each, device=x.device)
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
    first = int(pool.answers.starts[number])
    return Row(memories, tokens, len(answer), first, own, pool.meta["asked"][0])


def row_means(losses: Tensor, rows: Tensor, count: int) -> Tensor:
    """The mean of each row's losses, averaged over rows (a scalar)."""
    sums = losses.new_zeros(count).index_add(0, rows, losses)
    sizes = losses.new_zeros(count).index_add(0, rows, torch.ones_like(losses))
    return (sums / sizes.clamp_min(1)).sum() / (sizes > 0).sum()
