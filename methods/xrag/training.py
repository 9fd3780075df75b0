"""The training of a bridge in two stages; resumable, seeded, the model stays frozen."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.data.trained_on import write_record
from harness.errors import ConfigError, InputError, RunFailedError
from harness.files import writing
from harness.fingerprint import fingerprint, known_sha256
from harness.llm.weights import model_fingerprint
from harness.progress import bar
from methods.cartridge.network import divergence
from methods.parametric_qa.shared.gradients import without_dropout
from methods.parametric_qa.train.checkpoint import (
    checkpoint_state,
    load_checkpoint,
    save_checkpoint,
)
from methods.parametric_qa.train.curves import Curves
from methods.parametric_qa.train.tuning import faster_dtype
from methods.parametric_qa.write.sequences import Row, pack, row_losses, target_logits
from methods.xrag.bridge import Bridge, BridgeConfig
from methods.xrag.material import Asked, Material, Vectors, others
from methods.xrag.measuring import answer_losses
from methods.xrag.prompts import RESTATE

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.trained_on import TrainedOn
    from harness.llm.local import LocalModel
    from harness.llm.model_config import ModelConfig
    from harness.retrieval.encoders import Encoder
    from methods.parametric_qa.train.training_data import TrainingTask
    from methods.xrag.recipe import Recipe, Stage

CLIP = 1.0


def train(
    recipe: Recipe,
    llm: LocalModel,
    encoder: Encoder,
    tasks: Sequence[TrainingTask],
    out: Path,
    console: Console,
    before: Iterable[TrainedOn] = (),
) -> Path:
    """Train by ``recipe`` and write a bridge to ``out``; an interrupted training goes on.

    ``llm`` may be in another floating-point type afterwards; ``before`` is what it had learnt from.
    ``curves.csv`` holds losses and validation. An earlier bridge in ``out`` is replaced once all is
    trained. Raises RunFailedError for a loss that is NaN, and what ``check`` does.
    """
    check(recipe, llm.config, tasks)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with bar(console, "vectors of passages", sum(len(task.corpus) for task in tasks)) as shown:
        vectors = Vectors(tasks, encoder, shown.advance)
    training = Training(recipe, llm, encoder, tasks, vectors, out)
    training.run(console)
    account = _account(recipe, llm, tasks, training.curves)
    training.bridge.folded(vectors.shift, vectors.scale).save(out, account)
    write_record(out, {task.name: task.questions for task in tasks}, before)
    return out


def check(recipe: Recipe, model: ModelConfig, tasks: Sequence[TrainingTask]) -> None:
    """Raise what stops a training, before any model is loaded: ConfigError for rounded weights,
    InputError where nothing is left to learn from."""
    if model.quantization is not None:
        raise ConfigError(
            f"recipe '{recipe.name}': '{model.name}' has quantization {model.quantization}, and a "
            "bridge is trained before weights as they are; leave quantization out"
        )
    shots, passages = recipe.tuning.shots, sum(len(task.free) for task in tasks)
    questions = sum(max(0, len(task.train) - shots) for task in tasks)
    if not passages or not questions:
        raise InputError(
            f"recipe '{recipe.name}': {passages} passages and {questions} train questions are left "
            f"to learn from, beside those that are held out and {shots} demonstrations of each "
            "task; give more"
        )


class Training:
    """A bridge in training, of vectors less their mean and in units of their deviation."""

    def __init__(
        self,
        recipe: Recipe,
        llm: LocalModel,
        encoder: Encoder,
        tasks: Sequence[TrainingTask],
        vectors: Vectors,
        out: Path,
    ) -> None:
        self.recipe, self.llm, self.vectors, self.out = recipe, llm, vectors, out
        config = _config(llm, encoder)
        table = llm.model.get_input_embeddings().weight
        self.bridge = Bridge.untrained(config, table, recipe.seed)
        self.weights = dict(self.bridge.named_parameters())
        own = [recipe.model_dump(mode="json", exclude={"measured"}), config.model_dump()]
        self.key = fingerprint([*own, *(task.corpus.fingerprint for task in tasks)])[:12]
        tuning = recipe.tuning
        taught = tuning.taught if tuning.kl else 0
        self.material = Material(llm, tasks, tuning.shots, taught, recipe.seed)
        self.curves = Curves(out / "curves.csv")

    def run(self, console: Console) -> None:
        """Both stages, with the model in the type that takes less time."""
        recipe, model = self.recipe, self.llm.model
        model.to(self._dtype())
        if self.llm.device.type == "cpu":
            # On short rows the fused kernel takes longer, and forty times so in bfloat16.
            model.set_attn_implementation("eager")
        with without_dropout(model):
            self._stage("pretraining", recipe.pretraining, 0, self.telling_loss, console)
            first = recipe.pretraining.steps
            self._stage("tuning", recipe.tuning, first, self.answering_loss, console)
        self.curves.write()

    def telling_loss(self, source: random.Random) -> Tensor:
        """Of passages' texts after their vectors, in nats a token."""
        stage = self.recipe.pretraining
        drawn = [source.choice(self.material.passages) for _ in range(stage.batch)]
        rows = [
            self.material.telling(task, id_, source.choice(RESTATE), stage.longest)
            for task, id_ in drawn
        ]
        vectors = torch.stack([self.vectors.of(task, id_) for task, id_ in drawn])
        logits, targets = self._predicted(rows, vectors)
        return row_losses(logits, targets).mean()

    def answering_loss(self, source: random.Random) -> Tensor:
        """Of golden answers, and of what the model expects that reads the text, a token each."""
        stage, train = self.recipe.tuning, self.material.train
        places = source.sample(range(len(train)), min(stage.batch, len(train)))
        asked = [train[place] for place in places]
        rows = [self.material.answering(each) for each in asked]
        logits, targets = self._predicted(rows, self._vectors(asked))
        loss = stage.nll * row_losses(logits, targets).sum()
        for place, row, found in zip(places, rows, logits, strict=True):
            taught = self.material.expected(place, row.target)
            if taught is not None:
                length = len(row.target)
                loss = loss + stage.kl * divergence(found[-length:], taught) / length
        return loss / len(rows)

    def validate(self, *, alone: bool) -> dict[str, float]:
        """Losses of held-out answers after the gold passage's vector, another one's, or none."""
        asked = self.material.validation[: self.recipe.validation_questions]
        if not asked:
            return {}
        views = {"own": asked, "other": others(asked)}
        with torch.no_grad():
            read = {name: self.bridge.segments(self._vectors(x)) for name, x in views.items()}
        shown = {**read, **({"none": None} if alone else {})}
        losses = {n: answer_losses(self.llm, self.material, asked, x) for n, x in shown.items()}
        return {name: float(each.mean()) for name, each in losses.items()}

    def _stage(
        self,
        name: str,
        stage: Stage,
        before: int,
        loss: Callable[[random.Random], Tensor],
        console: Console,
    ) -> None:
        folder = self._folder(name)
        with writing(folder):
            folder.mkdir(exist_ok=True)
        optimizer = torch.optim.AdamW(self.weights.values(), stage.learning_rate, weight_decay=0.0)
        state = load_checkpoint(folder, self.weights, optimizer)
        first = 0 if state is None else int(state["step"])
        if state is not None:
            self.curves.before = state["seconds"]
            self.curves.rows = [tuple(row) for row in state["curves"]]
        if not self.curves.rows:
            self._note(before)
        with bar(console, name, stage.steps, first) as shown:
            for step in range(first + 1, stage.steps + 1):
                for group in optimizer.param_groups:
                    group["lr"] = stage.learning_rate * _share(step, stage)
                source = random.Random(f"{self.recipe.seed} {name} {step}")  # noqa: S311
                value = self._step(loss(source), optimizer, f"step {step} of {name}")
                self.curves.add(before + step, f"loss {name}", value)
                if step % self.recipe.validate_every == 0 or step == stage.steps:
                    self._note(before + step)
                if step % self.recipe.checkpoint_every == 0 or step == stage.steps:
                    self._keep(folder, step, optimizer)
                shown.advance()

    def _step(self, loss: Tensor, optimizer: torch.optim.Optimizer, named: str) -> float:
        value = float(loss.detach())
        if not isfinite(value):
            raise RunFailedError(
                f"training: the loss of {named} is {value}; lower the recipe's learning_rate and "
                "train again, an earlier bridge is unchanged"
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.weights.values()), CLIP)
        optimizer.step()
        return value

    def _note(self, step: int) -> None:
        for name, value in self.validate(alone=step == 0).items():
            self.curves.add(step, f"validation {name}", value)

    def _keep(self, folder: Path, step: int, optimizer: torch.optim.Optimizer) -> None:
        dtype = str(self.llm.model.dtype).removeprefix("torch.")
        state = {"seconds": round(self.curves.seconds, 1), "curves": self.curves.rows}
        save_checkpoint(folder, step, self.weights, optimizer, {**state, "dtype": dtype})
        self.curves.write()

    def _folder(self, stage: str) -> Path:
        return self.out / f"checkpoint-{self.key}-{stage}"

    def _dtype(self) -> torch.dtype:
        """Of the frozen weights; what was measured to be faster once stays so until the end."""
        held = checkpoint_state(self._folder("pretraining")).get("dtype")
        name = held or self.recipe.dtype
        return faster_dtype(self.llm.device) if name == "auto" else getattr(torch, name)

    def _vectors(self, asked: Sequence[Asked]) -> Tensor:
        return torch.stack([self.vectors.of(each.task, each.passage) for each in asked])

    def _predicted(self, rows: Sequence[Row], vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and targets of rows with their vectors, bridged, put in."""
        read = self.bridge.segments(vectors)
        whole = [replace(row, memories=[one]) for row, one in zip(rows, read, strict=True)]
        packed = pack(self.llm.model, whole)
        return target_logits(self.llm.model, packed), packed.targets


def _share(step: int, stage: Stage) -> float:
    """Of the highest learning rate: up at first, then down to nothing in a line."""
    warm = max(1, round(stage.warmup * stage.steps))
    return step / warm if step <= warm else (stage.steps - step + 1) / (stage.steps - warm + 1)


def _config(llm: LocalModel, encoder: Encoder) -> BridgeConfig:
    return BridgeConfig(
        dimensions=encoder.dimensions,
        hidden=llm.model.get_input_embeddings().weight.shape[1],
        encoder=encoder.name,
        encoder_key=encoder.key,
        model=llm.name,
        model_fingerprint=model_fingerprint(llm.model),
        prompt_style=llm.prompt_style,
    )


def _account(
    recipe: Recipe, llm: LocalModel, tasks: Sequence[TrainingTask], curves: Curves
) -> dict[str, Any]:
    from harness.meters.hardware import describe_hardware
    from harness.runs.provenance import harness_version

    return {
        "recipe": {
            **recipe.model_dump(mode="json", exclude={"tasks"}),
            # Files by what they hold: where they lay is nobody's.
            "tasks": {
                task.name: {file.name: known_sha256(file) for file in task.given_files}
                for task in recipe.tasks
            },
        },
        "training": {
            "train questions": {task.name: len(task.train) for task in tasks},
            "free passages": {task.name: len(task.free) for task in tasks},
            "corpora": {task.name: task.corpus.fingerprint for task in tasks},
            "dtype": str(llm.model.dtype).removeprefix("torch."),
            "seconds": round(curves.seconds),
            "hardware": describe_hardware().record(str(llm.device)),
            "harness": harness_version(),
            "date": datetime.now(UTC).date().isoformat(),
        },
    }
