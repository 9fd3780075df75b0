"""Validation on held-out rows: what is read of gold, selected, other and no memories, by size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from harness.metrics.answer import exact_match, token_f1
from methods.parametric_qa.contextual.losses import answer_losses
from methods.parametric_qa.contextual.network import Weights
from methods.parametric_qa.contextual.pool import Pool
from methods.parametric_qa.contextual.rows import (
    Row,
    question_row,
    read_rows,
    row_means,
    text_row,
)
from methods.parametric_qa.contextual.student import Passes, texts_of
from methods.parametric_qa.shared.contextual import Size

LONGEST = 16
"""Tokens of an answer that validation writes."""
BATCH = 256

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class Views:
    """Held-out rows, and a pool of their passages and others: hidden states, read once."""

    rows: list[int]
    passages: list[int]
    hidden: Tensor
    states: Tensor

    @property
    def places(self) -> dict[int, int]:
        """Where a passage stands in the pool."""
        return {number: place for place, number in enumerate(self.passages)}


@torch.no_grad()
def views(passes: Passes, pool: Pool, free: Sequence[int], most: int, others: int) -> Views:
    """At most ``most`` held-out rows, and ``others`` passages beside theirs."""
    held = np.flatnonzero(pool.held_out)
    source = np.random.default_rng(0)
    rows = sorted(source.permutation(held)[:most].tolist())
    gold = {int(g) for n in rows for g in pool.gold[n]}
    hard = {int(g) for n in rows for g in pool.hard[n]}
    drawn = source.permutation(np.array(free))[:others].tolist()
    passages = sorted(gold | hard | set(drawn))
    weights, student = passes.encoder(), passes.student
    texts = texts_of(pool.passages, passages)
    hidden = torch.cat(
        [
            passes.states(weights, texts[first : first + BATCH], student.tokens)
            for first in range(0, len(texts), BATCH)
        ]
    )
    states = passes.states(weights, texts_of(pool.questions, rows), student.ask[None])[:, 0]
    return Views(rows, passages, hidden, states)


@torch.no_grad()
def gold_loss(passes: Passes, pool: Pool, seen: Views, size: Size) -> float:
    """The answer's loss with the first gold memory, nats a token."""
    memories = passes.student.memories(passes.student.codes(seen.hidden, size))
    places, weights, total = seen.places, passes.reader(), 0.0
    for first in range(0, len(seen.rows), BATCH):
        part = seen.rows[first : first + BATCH]
        rows = [question_row(pool, n, [places[int(pool.gold[n][0])]], 0) for n in part]
        found = read_rows(passes, weights, rows, memories)
        mean = row_means(answer_losses(found, None, 0), found.rows, len(rows))
        total += float(mean) * len(rows)
    return total / max(len(seen.rows), 1)


@torch.no_grad()
def measure(
    passes: Passes,
    pool: Pool,
    seen: Views,
    sizes: Sequence[Size],
    decode: Decode,
    *,
    all_kinds: bool,
) -> dict[str, float]:
    """F1 and EM in percent of what is read at each size, and how often selection is right.

    ``all_kinds``: also of several, another question's and no memories.
    """
    student, weights, places = passes.student, passes.reader(), seen.places
    gold = [[places[int(g)] for g in pool.gold[n]] for n in seen.rows]
    single = [n for n, g in enumerate(gold) if len(g) == 1]
    found: dict[str, float] = {}
    for size in sizes:
        codes = student.codes(seen.hidden, size)
        memories = student.memories(codes)
        scores = student.question_keys(seen.states) @ student.document_keys(codes).T
        best = scores.topk(min(5, scores.shape[1]), dim=1).indices.tolist()
        found[f"{size.name} first is gold"] = _share(
            b[0] in g for b, g in zip(best, gold, strict=True)
        )
        right = [set(g) <= set(b) for b, g in zip(best, gold, strict=True)]
        found[f"{size.name} recall@5"] = _share(right[n] for n in single)
        kinds = {"gold": [g[:1] for g in gold], "selected": [b[:1] for b in best]}
        if all_kinds:
            kinds |= {
                "selected 3": [b[:3][::-1] for b in best],
                "selected 5": [b[::-1] for b in best],
                "other": [g[:1] for g in [*gold[1:], *gold[:1]]],
                "none": [[] for _ in gold],
            }
        for kind, shown in kinds.items():
            rows = [question_row(pool, n, m, 0) for n, m in zip(seen.rows, shown, strict=True)]
            written = write(passes, weights, rows, memories, decode)
            found |= _scores(f"{size.name} {kind}", written, pool, seen.rows)
    return found


@torch.no_grad()
def measure_text(
    passes: Passes, pool: Pool, seen: Sequence[int], decode: Decode
) -> dict[str, float]:
    """F1 and EM in percent of the reader as it is, with the first gold passage as text."""
    rows = [text_row(pool, number) for number in seen]
    return _scores("text", write(passes, passes.reader(), rows, None, decode), pool, seen)


def write(
    passes: Passes, weights: Weights, rows: Sequence[Row], memories: Tensor | None, decode: Decode
) -> list[str]:
    """The first line that the reader writes in each row's place of the targets."""
    answers = []
    for first in range(0, len(rows), BATCH):
        part = list(rows[first : first + BATCH])
        made: list[list[int]] = [[] for _ in part]
        for _ in range(LONGEST):
            asked = [_going_on(row, ids) for row, ids in zip(part, made, strict=True)]
            read = read_rows(passes, weights, asked, memories)
            tokens = read.logits.argmax(dim=-1).tolist()
            for number, token in zip(read.rows.tolist(), tokens, strict=True):
                made[number].append(token)
        answers += [decode(ids).strip().split("\n")[0] for ids in made]
    return answers


def _going_on(row: Row, ids: Sequence[int]) -> Row:
    """The row with what was written, one token more to be predicted."""
    prompt = row.tokens[: len(row.tokens) - row.count]
    tokens = np.concatenate([prompt, ids, [0]]).astype(np.int64)
    return replace(row, tokens=tokens, count=1, first=-1)


def _scores(name: str, written: Sequence[str], pool: Pool, rows: Sequence[int]) -> dict[str, float]:
    golden = [pool.meta["golden"][str(n)] for n in rows]
    pairs = list(zip(written, golden, strict=True))
    f1 = [token_f1(text, answers) for text, answers in pairs]
    em = [exact_match(text, answers) for text, answers in pairs]
    return {f"{name} F1": _share(f1), f"{name} EM": _share(em)}


def _share(values: Iterable[float]) -> float:
    found = list(values)
    return 100 * sum(found) / max(len(found), 1)
