"""The router's training on labelled questions: the same labels and seed, the same router."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from methods.adaptive_rag.labels import Labelled
from methods.adaptive_rag.router import Router, open_router

MICRO_BATCH = 8


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a router is trained: AdamW without weight decay, the rate falling linearly to 0."""

    epochs: int
    learning_rate: float
    batch_size: int
    max_length: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A router, the epoch it is from (1 for the first), its accuracy on the validation questions.

    ``majority`` is what always giving their commonest label would reach. Both are None without
    validation questions; the last epoch is then kept.
    """

    router: Router
    epoch: int
    accuracy: float | None
    majority: float | None


def train_router(
    place: str,
    examples: Sequence[Labelled],
    validation: Sequence[Labelled],
    recipe: Recipe,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Trained:
    """Train for ``recipe.epochs`` epochs and keep the one with the best validation accuracy.

    Of equal epochs the last is kept. ``advance`` is told how many questions were trained on.
    """
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        router = open_router(place, recipe.max_length)
        best, epoch, accuracy = None, recipe.epochs, None
        for number in _epochs(router, examples, recipe, seed, advance):
            if not validation:
                continue
            reached = measure(router, validation)
            if accuracy is None or reached >= accuracy:
                epoch, accuracy = number, reached
                best = {key: value.clone() for key, value in router.model.state_dict().items()}
        if best is not None:
            router.model.load_state_dict(best)
    router.model.eval()
    return Trained(router, epoch, accuracy, majority_accuracy(validation))


def measure(router: Router, examples: Sequence[Labelled]) -> float:
    """The share of questions whose most probable label is theirs."""
    shares = [router.probabilities(example.text) for example in examples]
    return sum(
        max(share, key=share.__getitem__) == example.label
        for share, example in zip(shares, examples, strict=True)
    ) / len(examples)


def majority_accuracy(examples: Sequence[Labelled]) -> float | None:
    """The accuracy of the best constant label; None without examples."""
    counts = Counter(example.label for example in examples)
    return max(counts.values()) / len(examples) if examples else None


def _epochs(
    router: Router,
    examples: Sequence[Labelled],
    recipe: Recipe,
    seed: int,
    advance: Callable[[int], None],
) -> Iterator[int]:
    """Train one epoch after the other, yielding each one's number when it is done."""
    import torch

    training = router.training_on([example.text for example in examples])
    with training:
        optimizer = torch.optim.AdamW(
            router.model.parameters(), lr=recipe.learning_rate, weight_decay=0.0
        )
    steps = recipe.epochs * -(-len(examples) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for number in range(1, recipe.epochs + 1):
        router.model.train()
        with training:
            for batch in batches(examples, recipe.batch_size, f"{seed} {number}"):
                _step(router, batch, optimizer)
                schedule.step()
                advance(len(batch))
        yield number


def batches(examples: Sequence[Labelled], size: int, seed: str) -> Iterator[list[Labelled]]:
    """Every example once, in an order that the seed decides."""
    order = random.Random(seed).sample(list(examples), len(examples))  # noqa: S311
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _step(router: Router, batch: Sequence[Labelled], optimizer: Any) -> None:
    # Gradients of micro-batches of like length add up to the batch's, with far less padding.
    by_length = sorted(batch, key=lambda example: len(example.text))
    optimizer.zero_grad()
    for start in range(0, len(by_length), MICRO_BATCH):
        part = by_length[start : start + MICRO_BATCH]
        loss = router.loss([e.text for e in part], [e.label for e in part])
        (loss * (len(part) / len(batch))).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
