"""Training the shared parts, the reader and the selector by a recipe; resumable, seeded."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from harness.errors import ConfigError, RunFailedError
from harness.files import writing
from harness.fingerprint import fingerprint
from methods.parametric_qa.bundle import Bundle
from methods.parametric_qa.checkpoint import load_checkpoint, save_checkpoint
from methods.parametric_qa.curves import Curves
from methods.parametric_qa.frozen import without_dropout
from methods.parametric_qa.material import Material
from methods.parametric_qa.objectives import Asked, Objectives
from methods.parametric_qa.recipe import Recipe
from methods.parametric_qa.shared import SharedParts, model_fingerprint
from methods.parametric_qa.train_selector import ranking, recall_at, train_selector
from methods.parametric_qa.tuning import faster_dtype, save_tuned, trainable, tuned

if TYPE_CHECKING:
    from rich.console import Console

    from harness.llm.local import LocalModel
    from methods.parametric_qa.training_data import TrainingTask

Item = TypeVar("Item")

CLIP = 1.0
VALIDATION_BATCH = 16


def train(
    recipe: Recipe,
    llm: LocalModel,
    tasks: Sequence[TrainingTask],
    out: Path,
    console: Console,
) -> Path:
    """Train by ``recipe`` and write a bundle to ``out``; an interrupted training goes on.

    ``llm`` is changed by it and of no use afterwards. ``curves.csv`` holds losses and validation.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    material = Material(llm, tasks)
    parts = SharedParts.from_model(llm, recipe.slots, recipe.z_dim, recipe.sharpness)
    parts.salience.copy_(material.salience())
    bundle = Bundle.untrained(parts, recipe.selector, material.table)
    curves = Curves(out / "curves.csv")
    _train_reader(recipe, llm, material, bundle, out, curves, console)
    _train_selector(recipe, material, bundle, curves, console)
    curves.write()
    bundle.save(out, _account(recipe, llm, material, curves))
    return out


def _train_reader(
    recipe: Recipe,
    llm: LocalModel,
    material: Material,
    bundle: Bundle,
    out: Path,
    curves: Curves,
    console: Console,
) -> None:
    from harness.progress import bar

    ranked = _candidates(bundle, material)
    dtype = faster_dtype(llm.device) if recipe.dtype == "auto" else getattr(torch, recipe.dtype)
    if llm.config.quantization is None and recipe.tuning.mode != "full":
        llm.model.to(dtype)
    if llm.device.type == "cpu":
        # On short rows the fused kernel takes longer, and forty times so in bfloat16.
        llm.model.set_attn_implementation("eager")
    model = tuned(llm.model, recipe.tuning.mode, recipe.tuning.rank, recipe.seed)
    parts = bundle.parts.requires_grad_(True)
    run = _Reader(recipe, model, Objectives(material, parts, recipe, ranked), parts)
    folder = out / f"checkpoint-{fingerprint(recipe.model_dump(mode='json'))[:12]}"
    folder.mkdir(exist_ok=True)
    first = run.resume(folder, curves)
    with bar(console, "reader", recipe.steps, first) as shown, without_dropout(model):
        for step in range(first + 1, recipe.steps + 1):
            kind, loss = run.step(step)
            curves.add(step, f"loss {kind}", loss)
            if step % recipe.validate_every == 0 or step == recipe.steps:
                for name, value in run.validate().items():
                    curves.add(step, name, value)
            if step % recipe.checkpoint_every == 0 or step == recipe.steps:
                run.keep(folder, step, curves)
            shown.advance()
    parts.requires_grad_(False)
    if recipe.tuning.mode == "full":
        parts.config = parts.config.model_copy(
            update={"model_fingerprint": model_fingerprint(model)}
        )
        llm.tokenizer.save_pretrained(out / "model")
    save_tuned(model, recipe.tuning.mode, out, llm.name)


class _Reader:
    """The model and shared parts in training."""

    def __init__(
        self, recipe: Recipe, model: Any, objectives: Objectives, parts: SharedParts
    ) -> None:
        self.recipe, self.model, self.objectives = recipe, model, objectives
        self.weights = {f"model {name}": p for name, p in trainable(model).items()}
        own = {f"parts {name}": p for name, p in trainable(parts).items()}
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
        questions = objectives.material.validation(most)
        if not questions:
            return {}
        following = {
            (task, q.id): other
            for name in objectives.material.tasks
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
            rows = self.objectives.answer_rows(asked)
            for start in range(0, len(rows), VALIDATION_BATCH):
                part = rows[start : start + VALIDATION_BATCH]
                total += float(self.objectives.row_losses(self.model, part).sum())
        return total / len(rows)

    def keep(self, folder: Path, step: int, curves: Curves) -> None:
        """Write a checkpoint and the curves so far."""
        state = {"seconds": round(curves.seconds, 1), "curves": curves.rows}
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


def _candidates(bundle: Bundle, material: Material) -> Mapping[tuple[str, str], Sequence[str]]:
    """Free passages that the untrained selector ranks best for each train question."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, task in material.tasks.items():
        free = set(task.free)
        ranked = ranking(bundle.selector, bundle.parts, material, name, task.train)
        found |= {(name, id_): [p for p in ids if p in free] for id_, ids in ranked.items()}
    return found


def _train_selector(
    recipe: Recipe, material: Material, bundle: Bundle, curves: Curves, console: Console
) -> None:
    from harness.progress import bar

    _measure_selection(bundle, material, curves, 0)
    with bar(console, "selector", recipe.selection.steps) as shown:

        def record(step: int, loss: float) -> None:
            curves.add(step, "selector loss", loss)
            shown.advance()

        train_selector(
            bundle.selector, bundle.parts, material, recipe.selection, recipe.seed, record
        )
    _measure_selection(bundle, material, curves, recipe.selection.steps)


def _measure_selection(bundle: Bundle, material: Material, curves: Curves, step: int) -> None:
    """Recall@5 on validation questions over each task's whole pool."""
    for name, task in material.tasks.items():
        ranked = ranking(bundle.selector, bundle.parts, material, name, task.validation)
        curves.add(step, f"validation recall@5 {name}", recall_at(ranked, task.validation, 5))


def _account(recipe: Recipe, llm: LocalModel, material: Material, curves: Curves) -> dict[str, Any]:
    from harness.meters.hardware import describe_hardware
    from harness.provenance import harness_version

    return {
        "recipe": recipe.model_dump(mode="json"),
        "training": {
            "train questions": {n: len(t.train) for n, t in material.tasks.items()},
            "free passages": {n: len(t.free) for n, t in material.tasks.items()},
            "corpora": {n: t.corpus.fingerprint for n, t in material.tasks.items()},
            "dtype": str(llm.model.dtype).removeprefix("torch."),
            "seconds": round(curves.seconds),
            "hardware": describe_hardware().record(str(llm.device)),
            "harness": harness_version(),
            "date": datetime.now(UTC).date().isoformat(),
        },
    }


def check_recipe(recipe: Recipe) -> None:
    """Raise ConfigError for settings that contradict each other."""
    if recipe.steps and not any(recipe.losses.model_dump().values()):
        raise ConfigError(
            f"recipe '{recipe.name}': all losses are 0; switch one on or set steps: 0"
        )
    if recipe.losses.distil and recipe.tuning.mode == "full":
        raise ConfigError(
            f"recipe '{recipe.name}': distil needs the model as it was, which mode full changes; "
            "take lora or frozen"
        )
