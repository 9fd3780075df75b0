"""The selector's training: InfoNCE on gold documents; in-batch, random and BM25 negatives."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.errors import RunFailedError
from harness.metrics.retrieval import recall_at_k
from methods.parametric_qa.shared.selection import info_nce

if TYPE_CHECKING:
    from harness.records import Question
    from methods.parametric_qa.shared.selection import Selector
    from methods.parametric_qa.train.features import Features
    from methods.parametric_qa.train.passage_codes import PassageCodes
    from methods.parametric_qa.train.recipe import SelectorTraining

WORDS = (6, 14)
"""Tokens of a passage that stand for a question."""
KEPT = 0.7
"""Share of these tokens that are kept, so that it is not a copy."""

_DIVERGED = (
    "training: the selector's {}; lower its learning rate in the recipe and train again, earlier "
    "shared parts are unchanged"
)

Record = Callable[[int, float], None]


def train_selector(
    selector: Selector,
    codes: PassageCodes,
    features: Features,
    settings: SelectorTraining,
    seed: int,
    record: Record,
) -> None:
    """Train in place; ``record`` is told each step's number and loss. Seeded.

    Raises RunFailedError for a loss that is NaN.
    """
    weights = list(selector.parameters())
    if not weights or settings.steps == 0 or not features.train:
        return
    log_scale = torch.tensor(math.log(1 / settings.temperature), requires_grad=True)
    optimizer = torch.optim.AdamW(
        [*weights, log_scale], lr=settings.learning_rate, weight_decay=0.0
    )
    selector.requires_grad_(True)
    for step in range(settings.steps):
        source = random.Random(f"{seed} selector {step}")  # noqa: S311
        loss = _batch_loss(selector, codes, features, settings, source, log_scale)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise RunFailedError(_DIVERGED.format(f"loss of step {step + 1} is {value}"))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        record(step + 1, value)
    if not all(weight.isfinite().all() for weight in weights):
        raise RunFailedError(_DIVERGED.format("last step left NaN or infinity"))
    selector.requires_grad_(False)


def _batch_loss(
    selector: Selector,
    codes: PassageCodes,
    features: Features,
    settings: SelectorTraining,
    source: random.Random,
    log_scale: Tensor,
) -> Tensor:
    """All questions of a step are of one task, since their gold documents are each other's
    negatives.
    """
    task = features.tasks[source.choice([name for name, _ in features.train])]
    wanted: list[tuple[Tensor, tuple[str, ...]]] = []
    hard: list[str] = []
    for _ in range(settings.batch):
        if source.random() < settings.fragments:
            id_ = source.choice(task.free)
            wanted.append((_fragment(features, features.tokens(task.name, id_), source), (id_,)))
        else:
            question = source.choice(task.train)
            wanted.append((features.question_embeddings(question.text), question.gold_doc_ids))
            hard += features.negatives(task.name, question, settings.hard)
    others = [source.choice(task.free) for _ in range(settings.random)]
    pool = list(dict.fromkeys([*(id_ for _, gold in wanted for id_ in gold), *hard, *others]))
    keys = selector.keys(codes.of(task.name, pool))
    losses = [
        info_nce(
            selector.scores(tokens, keys), torch.tensor([id_ in gold for id_ in pool]), log_scale
        )
        for tokens, gold in wanted
    ]
    return torch.stack(losses).mean()


def _fragment(features: Features, tokens: Sequence[int], source: random.Random) -> Tensor:
    """Embeddings of a few tokens of a passage, some of them left out."""
    length = min(len(tokens), source.randint(*WORDS))
    first = source.randint(0, len(tokens) - length)
    kept = [t for t in tokens[first : first + length] if source.random() < KEPT]
    return features.table[torch.tensor(kept or tokens[first : first + 1])]


def ranking(
    selector: Selector,
    codes: PassageCodes,
    features: Features,
    task: str,
    questions: Sequence[Question],
) -> dict[str, list[str]]:
    """Ids of all passages of a task, best first, for each question id."""
    ids = list(features.tasks[task].corpus.ids)
    with torch.inference_mode():
        keys = torch.cat([selector.keys(group) for group in codes.groups(task)])
        return {
            q.id: [
                ids[i]
                for i in selector.scores(features.question_embeddings(q.text), keys)
                .argsort(descending=True, stable=True)[:50]
                .tolist()
            ]
            for q in questions
        }


def recall_at(ranked: dict[str, list[str]], questions: Sequence[Question], k: int) -> float:
    """Recall@k over gold documents, macro over questions."""
    shares = [recall_at_k(ranked[q.id], q.gold_doc_ids, k) or 0.0 for q in questions]
    return sum(shares) / max(len(shares), 1)
