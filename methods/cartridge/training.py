"""Training of a cartridge: to expect, without the text, what the model expects when it reads it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from harness.llm.batches import common_prefix
from harness.llm.keyvalues import KeyValues
from harness.llm.reading import read_tokens
from harness.progress import bar
from harness.prompts import QAPrompts
from harness.records import Passage
from methods.cartridge.network import Lesson, Taught, Trainable, loss_of, target_logits, taught
from methods.cartridge.study import Learnt, Row, rows_of
from methods.cartridge.upper import Reader, reader_of
from methods.parametric_qa.shared.parts import save_tensors
from methods.parametric_qa.train.checkpoint import load_checkpoint, save_checkpoint
from methods.study.params import Precision, products_in
from methods.study.passing import BATCH, first_layer
from methods.study.questions import Asked
from methods.study.training import short_rows

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

KEPT_EVERY = 25
"""Steps from one checkpoint to the next."""
WARM = 0.1
"""Share of the steps in which the learning rate rises; then it falls to nothing."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a cartridge is trained."""

    steps: int
    batch: int
    learning_rate: float
    precision: Precision
    depth: float
    learnt: Learnt
    seed: int

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        warm = max(1, round(WARM * self.steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * (self.steps - step) / max(1, self.steps - warm)


def lessons(
    llm: LocalModel,
    prompts: QAPrompts,
    passages: Sequence[Passage],
    asked: Sequence[Sequence[Asked]],
    learnt: Learnt,
    scratch: Path,
) -> list[Lesson]:
    """All rows of the passages with their teacher's expectations, kept passage by passage.

    ``asked``: what is asked about each passage. The teacher is asked if anything of it is learnt.
    """
    found: list[Lesson] = []
    with bar(Console(stderr=True), "study of passages", len(passages)) as shown:
        for place, passage in enumerate(passages):
            rows = rows_of(llm, prompts, passage, asked[place])
            if learnt == "answers":
                found += map(Lesson, rows)
            else:
                found += _taught(llm, rows, scratch / f"teacher-{place}.safetensors")
            shown.advance()
    return found


def _taught(llm: LocalModel, rows: Sequence[Row], path: Path) -> list[Lesson]:
    """One passage's rows with their teacher's expectations, which ``path`` keeps."""
    if not path.exists():
        save_tensors(path, _expectations(llm, rows))
    tensors = load_file(path, device=str(llm.device))
    return [
        Lesson(row, Taught(tensors[f"{number} ids"].long(), tensors[f"{number} logprobs"]))
        for number, row in enumerate(rows)
    ]


def _expectations(llm: LocalModel, rows: Sequence[Row]) -> dict[str, Tensor]:
    """Of one passage's rows; what their prompts begin with alike is read once."""
    found: dict[str, Tensor] = {}
    for kind, numbered in groupby(enumerate(rows), key=lambda item: item[1].kind):
        numbers, alike = zip(*numbered, strict=True)
        shared = alike[0].teacher[: common_prefix([row.teacher for row in alike])]
        held = read_tokens(llm.runtime, shared, kind, None).first(len(shared))
        for first in range(0, len(alike), BATCH):
            places, part = numbers[first : first + BATCH], alike[first : first + BATCH]
            with torch.no_grad():
                logits = target_logits(llm, held, [(row.teacher, row.target) for row in part])
            for number, expected in zip(places, map(taught, logits), strict=True):
                found[f"{number} ids"] = expected.ids.int()
                found[f"{number} logprobs"] = expected.logprobs
    return found


def train(
    llm: LocalModel, start: KeyValues, lessons: Sequence[Lesson], recipe: Recipe, scratch: Path
) -> tuple[KeyValues, list[float]]:
    """The trained cartridge, and the loss of every step in nats a token.

    Goes on from the last checkpoint, to the same bytes.
    """
    first = first_layer(llm, recipe.depth)
    cartridge = Trainable(start, first)
    weights = dict(cartridge.named_parameters())
    optimizer = torch.optim.Adam(weights.values(), lr=recipe.learning_rate)
    state = load_checkpoint(scratch, weights, optimizer) or {"step": 0, "losses": []}
    done, losses = state["step"], list(state["losses"])
    progress = bar(Console(stderr=True), "cartridge", recipe.steps, done)
    with short_rows(llm), reader_of(llm, start, first, lessons) as read, progress as shown:
        for step, batch in enumerate(_batches(lessons, recipe)):
            if step < done:
                continue
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            losses.append(_step(read, cartridge, batch, optimizer, recipe))
            shown.advance()
            if (step + 1) % KEPT_EVERY == 0:
                save_checkpoint(scratch, step + 1, weights, optimizer, {"losses": losses})
    return cartridge.frozen(), losses


def _batches(lessons: Sequence[Lesson], recipe: Recipe) -> Iterator[list[Lesson]]:
    """A batch for every step, of about equal lengths (little is padded).

    Every lesson comes once before any comes again; the order follows from the seed.
    """
    per_epoch = ceil(len(lessons) / recipe.batch)
    for epoch in range(ceil(recipe.steps / per_epoch)):
        source = random.Random(f"{recipe.seed} cartridge {epoch}")  # noqa: S311
        order = source.sample(list(lessons), len(lessons))
        order.sort(key=lambda lesson: lesson.row.shape)
        firsts = list(range(0, len(order), recipe.batch))
        source.shuffle(firsts)
        for first in firsts[: recipe.steps - epoch * per_epoch]:
            yield order[first : first + recipe.batch]


def _step(
    read: Reader,
    cartridge: Trainable,
    batch: Sequence[Lesson],
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
) -> float:
    with products_in(recipe.precision, cartridge.keys[0].device):
        found = read(cartridge.prefix(), batch)
    loss = loss_of(found, batch, recipe.learnt)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return round(float(loss.detach()), 6)
