"""Losses of a contextual training: answers, recall of passages, selection; the teacher's part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.parametric_qa.contextual.draws import Draws, Step
from methods.parametric_qa.contextual.network import Weights
from methods.parametric_qa.contextual.pool import Pool
from methods.parametric_qa.contextual.recipe import Recipe
from methods.parametric_qa.contextual.rows import (
    Row,
    Targets,
    question_row,
    read_rows,
    row_means,
    text_row,
)
from methods.parametric_qa.contextual.student import Passes, texts_of
from methods.parametric_qa.shared.contextual import Size

KEPT = 16
"""Most probable tokens that are kept of a teacher's prediction."""
SHORT = 24
"""Tokens of a question and its answer, about."""
RANKED = 12
"""Best passages of a step that a row's wrong memories are taken from."""


@dataclass(frozen=True, slots=True)
class Taught:
    """A teacher's most probable tokens for every answer token of the pool, and their shares."""

    tokens: Tensor
    shares: Tensor


@torch.no_grad()
def teach(
    passes: Passes,
    pool: Pool,
    rows: Sequence[int],
    batch: int,
    goes_on: Callable[[], bool] = lambda: True,
) -> tuple[Taught, int]:
    """What the tuned reader predicts at the answers of ``rows`` while it reads the text.

    For as many rows, from the first, as ``goes_on`` allows; also gives how many these are.
    """
    total = len(pool.answers.flat)
    tokens = torch.zeros(total, KEPT, dtype=torch.int32, device=passes.device)
    shares = torch.zeros(total, KEPT, dtype=torch.float16, device=passes.device)
    weights, done = passes.reader(), 0
    while done < len(rows) and goes_on():
        made = [text_row(pool, number) for number in rows[done : done + batch]]
        done += len(made)
        found = read_rows(passes, weights, made, parts=4)
        likely = found.logits.float().softmax(dim=-1)
        kept = likely.topk(min(KEPT, likely.shape[1]), dim=-1)
        tokens[found.places] = kept.indices.int()
        shares[found.places] = kept.values.half()
    return Taught(tokens, shares), done


def answer_losses(found: Targets, taught: Taught | None, share: float) -> Tensor:
    """Cross-entropy of each target, partly to the golden token and partly to the teacher's."""
    logs = found.logits.float().log_softmax(dim=-1)
    golden: Tensor = -logs.gather(1, found.labels[:, None]).squeeze(1)
    if taught is None or not share:
        return golden
    tokens, weights = taught.tokens[found.places].long(), taught.shares[found.places].float()
    total = weights.sum(dim=-1)
    soft = -(logs.gather(1, tokens) * weights).sum(dim=-1) / total.clamp_min(1e-6)
    return torch.where(total > 0, (1 - share) * golden + share * soft, golden)


def text_loss(passes: Passes, pool: Pool, rows: Sequence[int]) -> Tensor:
    """The answer's loss of a reader of text."""
    made = [text_row(pool, number) for number in rows]
    found = read_rows(passes, passes.reader(), made, parts=2)
    return row_means(answer_losses(found, None, 0), found.rows, len(rows))


def selection_loss(scores: Tensor, gold: Tensor) -> Tensor:
    """InfoNCE: the share that all gold passages have together, ``scores`` [questions, passages]."""
    all_of = scores.logsumexp(dim=1)
    wanted = scores.masked_fill(~gold, float("-inf")).logsumexp(dim=1)
    return (all_of - wanted).mean()


@dataclass(frozen=True, slots=True)
class Encoded:
    """A step's memories [passages, 1 + slots, hidden] and scores [questions, passages]."""

    memories: Tensor
    scores: Tensor
    gold: Tensor


def encode(
    passes: Passes, weights: Weights, pool: Pool, drawn: Step, size: Size, chunks: int = 2
) -> Encoded:
    """Codes of a step's passages, and how its questions select them."""
    student = passes.student
    tokens = student.tokens[: size.slots]
    hidden = passes.states(weights, texts_of(pool.passages, drawn.passages), tokens, chunks)
    codes = student.codes(hidden, size)
    asked = passes.states(weights, texts_of(pool.questions, drawn.rows), student.ask[None])[:, 0]
    scores = student.question_keys(asked) @ student.document_keys(codes).T
    gold = torch.zeros(scores.shape, dtype=torch.bool)
    for row, places in enumerate(drawn.gold):
        gold[row, places] = True
    scores = scores * student.log_scale.exp().clamp(max=100)
    return Encoded(student.memories(codes), scores, gold.to(scores.device))


def asked_rows(
    pool: Pool, draws: Draws, drawn: Step, scores: Tensor, count: int
) -> tuple[list[Row], Tensor]:
    """A row for each question, and what its memories are multiplied by [questions, passages].

    The factors are 1; their gradient lets the answer's loss reach the scores of what is read.
    """
    ranked = scores.detach().topk(min(RANKED, scores.shape[1]), dim=1).indices.tolist()
    rows = [
        question_row(pool, number, draws.shown(gold, best, count), own)
        for own, (number, gold, best) in enumerate(zip(drawn.rows, drawn.gold, ranked, strict=True))
    ]
    read = torch.zeros(scores.shape, dtype=torch.bool)
    for own, row in enumerate(rows):
        read[own, list(row.memories)] = True
    shown = scores.masked_fill(~read.to(scores.device), -1e4).softmax(dim=1)
    return rows, 1 + shown - shown.detach()


def step_losses(
    passes: Passes,
    pool: Pool,
    draws: Draws,
    recipe: Recipe,
    taught: Taught | None,
    done: float,
) -> dict[str, Tensor]:
    """The losses of one step, not yet weighted, ``done`` of the time [0, 1] being over."""
    size, drawn = draws.size(), draws.step()
    count = 1 if done < recipe.alone else draws.memories()
    drawn = drawn.fewer(recipe.positions // (count * (1 + size.slots) + SHORT))
    reader = passes.reader()
    found = encode(passes, passes.encoder(), pool, drawn, size)
    rows, factors = asked_rows(pool, draws, drawn, found.scores, count)
    read = read_rows(passes, reader, rows, found.memories, factors, parts=2)
    each = answer_losses(read, taught, recipe.distil)
    losses = {
        "answer": row_means(each, read.rows, len(rows)),
        "retrieve": selection_loss(found.scores, found.gold),
    }
    recalled = round(recipe.recalled + done * (recipe.recalled_last - recipe.recalled))
    if recalled and recipe.recall_weight:
        losses["recall"] = recall_loss(passes, reader, pool, draws, drawn, found.memories, recalled)
    return losses


def total(losses: Mapping[str, Tensor], recipe: Recipe) -> Tensor:
    """What a step minimises: its losses by the recipe's weights (a scalar)."""
    weights = {"retrieve": recipe.retrieve_weight, "recall": recipe.recall_weight}
    return torch.stack([weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()


def recall_loss(
    passes: Passes,
    reader: Weights,
    pool: Pool,
    draws: Draws,
    drawn: Step,
    memories: Tensor,
    count: int,
) -> Tensor:
    """The loss, a token, of passages that are told again from their memory alone."""
    places = draws.source.permutation(len(drawn.passages))[:count].tolist()
    rows = []
    for place in places:
        tokens, predicted = draws.span(pool.passages[drawn.passages[place]], pool.meta["end"])
        rows.append(Row([place], tokens, predicted, begin=pool.meta["asked"][0]))
    found = read_rows(passes, reader, rows, memories)
    return F.cross_entropy(found.logits.float(), found.labels)
