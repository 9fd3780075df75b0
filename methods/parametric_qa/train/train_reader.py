"""Steps of training the reader with the shared parts and the encoder, validated and resumable."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from harness.errors import RunFailedError
from methods.parametric_qa.train.checkpoint import load_checkpoint, save_checkpoint
from methods.parametric_qa.train.objectives import Asked, Objectives
from methods.parametric_qa.train.tuning import trainable

if TYPE_CHECKING:
    from methods.parametric_qa.train.curves import Curves
    from methods.parametric_qa.train.recipe import Recipe

Item = TypeVar("Item")

CLIP = 1.0
VALIDATION_BATCH = 16


class Reader:
    """The model, shared parts and encoder in training."""

    def __init__(self, recipe: Recipe, model: Any, objectives: Objectives) -> None:
        self.recipe, self.model, self.objectives = recipe, model, objectives
        self.modules: dict[str, nn.Module] = {}
        if recipe.tuning.parts:
            self.modules["parts"] = objectives.parts
        if objectives.encoder is not None:
            self.modules["encoder"] = objectives.encoder
        self.weights = {f"model {name}": p for name, p in trainable(model).items()}
        own = {
            f"{kind} {name}": p
            for kind, module in self.modules.items()
            for name, p in trainable(module.requires_grad_(True)).items()
        }
        groups = [
            {"params": list(self.weights.values()), "lr": recipe.tuning.learning_rate},
            {"params": list(own.values()), "lr": recipe.learning_rate},
        ]
        self.weights |= own
        self.optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=0.0)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]

    def step(self, number: int) -> tuple[str, float]:
        """One update; returns the loss's kind and value. Its draws depend on seed and number."""
        recipe = self.recipe
        source = random.Random(f"{recipe.seed} reader {number}")  # noqa: S311
        shares = recipe.losses.model_dump()
        kind = source.choices(list(shares), list(shares.values()))[0]
        rise = min(1.0, number / max(recipe.warmup, 1))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * rise * (1 - (number - 1) / recipe.steps)
        alone = number <= recipe.alone
        loss = self.objectives.loss(self.model, kind, source, alone=alone)
        value = float(loss.detach())
        if not isfinite(value):
            raise RunFailedError(
                f"training: the loss of step {number} ({kind}) is {value}; lower the learning "
                "rates of the recipe and train again, earlier shared parts are unchanged"
            )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.weights.values()), CLIP)
        self.optimizer.step()
        return kind, value

    def validate(self) -> dict[str, float]:
        """Answer losses on held-out train questions, with gold, no and another one's memory."""
        objectives, most = self.objectives, self.recipe.validation_questions
        questions = objectives.features.validation(most)
        if not questions:
            return {}
        following = {
            (task, q.id): other
            for name in objectives.features.tasks
            for (task, q), (_, other) in _neighbours([x for x in questions if x[0] == name])
        }
        views = {
            "validation gold": [Asked(task, q, tuple(q.gold_doc_ids[:1])) for task, q in questions],
            "validation none": [Asked(task, q, ()) for task, q in questions],
            "validation other": [
                Asked(task, q, tuple(following[task, q.id].gold_doc_ids[:1]))
                for task, q in questions
            ],
        }
        return {name: self._mean(asked) for name, asked in views.items()}

    def _mean(self, asked: Sequence[Asked]) -> float:
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(asked), VALIDATION_BATCH):
                part = asked[start : start + VALIDATION_BATCH]
                rows = self.objectives.answer_rows(self.model, part)
                total += float(self.objectives.row_losses(self.model, rows).sum())
        return total / len(asked)

    def keep(self, folder: Path, step: int, curves: Curves) -> None:
        """Write a checkpoint and the curves so far.

        Raises RunFailedError for NaN or infinity: the last step's loss does not show them.
        """
        if not all(weight.isfinite().all() for weight in self.weights.values()):
            raise RunFailedError(
                f"training: step {step} left NaN or infinity; lower the learning rates of "
                "the recipe and train again, earlier shared parts are unchanged"
            )
        dtype = str(self.model.dtype).removeprefix("torch.")
        state = {"seconds": round(curves.seconds, 1), "curves": curves.rows, "dtype": dtype}
        save_checkpoint(folder, step, self.weights, self.optimizer, state)
        curves.write()

    def resume(self, folder: Path, curves: Curves) -> int:
        """Steps that are done already."""
        state = load_checkpoint(folder, self.weights, self.optimizer)
        if state is None:
            return 0
        curves.before, curves.rows = state["seconds"], [tuple(row) for row in state["curves"]]
        return int(state["step"])


def _neighbours(items: Sequence[Item]) -> list[tuple[Item, Item]]:
    """Each item with the next one; the last with the first."""
    return list(zip(items, [*items[1:], *items[:1]], strict=True))
