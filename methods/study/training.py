"""The training of a model's trainable weights on rows of study; seeded and resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.errors import ConfigError, RunFailedError
from harness.files import writing
from harness.fingerprint import fingerprint
from harness.progress import bar
from methods.parametric_qa.train.checkpoint import load_checkpoint, save_checkpoint
from methods.parametric_qa.train.tuning import trainable as weights_of
from methods.parametric_qa.write.sequences import Row, pack, row_losses, target_logits
from methods.study.params import Precision, StudyParams, products_in
from methods.study.rows import alike, batches

if TYPE_CHECKING:
    from harness.llm.base import LanguageModel
    from harness.llm.local import LocalModel

CHECKPOINT_EVERY = 25
"""Steps; what a kill may cost."""
_WARM, _CLIP, _BETAS = 0.05, 1.0, (0.9, 0.95)

Losses = Callable[[Sequence[Row]], Tensor]
"""The loss of each row [rows], in nats a token."""


@dataclass(frozen=True, slots=True)
class Group:
    """Weights by name, and the highest learning rate at which they are trained."""

    weights: Mapping[str, nn.Parameter]
    learning_rate: float


def train(
    llm: LocalModel,
    model: Any,
    rows: tuple[Row, ...],
    params: StudyParams,
    seed: int,
    place: Path | None,
    label: str | None = "training",
    losses_of: Losses | None = None,
) -> list[float]:
    """Train what is trainable of ``model``, a form of ``llm``'s; the loss of every step.

    ``losses_of`` may work out the loss of rows in another way than by reading them. Otherwise as
    ``descend`` is.
    """
    losses_of = losses_of or (lambda batch: losses_by_reading(model, batch, params.precision))
    steps, groups = params.steps_for(len(rows)), [Group(weights_of(model), params.learning_rate)]
    drawn = batches(rows, params.batch, steps, seed)
    return descend(llm, groups, losses_of, drawn, steps, place, label)


def descend(
    llm: LocalModel,
    groups: Sequence[Group],
    losses_of: Losses,
    drawn: Iterable[list[Row]],
    steps: int,
    place: Path | None,
    label: str | None = "training",
) -> list[float]:
    """Train groups of weights by ``steps`` batches; the loss of every step, in nats a token.

    A step's loss is the mean over its rows, which are read in groups of similar length; what a
    step's rows do not touch is not moved. An interrupted training goes on from its checkpoint in
    ``place``. Shows progress under ``label``, if there is one. Raises RunFailedError for a loss
    that is not finite.
    """
    from rich.console import Console

    weights = {name: weight for group in groups for name, weight in group.weights.items()}
    optimizer = torch.optim.AdamW(
        [
            {"params": list(group.weights.values()), "initial_lr": group.learning_rate}
            for group in groups
        ],
        betas=_BETAS,
        weight_decay=0.0,
    )
    state = None if place is None else load_checkpoint(place, weights, optimizer)
    first, losses = (state["step"], list(state["losses"])) if state else (0, [])
    console = Console(stderr=True, quiet=label is None)
    with short_rows(llm), bar(console, label or "", steps, first) as shown:
        for step, batch in enumerate(drawn, 1):
            if step <= first:
                continue
            losses.append(_step(losses_of, optimizer, batch, step, _share(step, steps)))
            if place is not None and (step % CHECKPOINT_EVERY == 0 or step == steps):
                save_checkpoint(place, step, weights, optimizer, {"losses": losses})
            shown.advance()
    return losses


def losses_by_reading(model: Any, rows: Sequence[Row], precision: Precision = "float32") -> Tensor:
    """The loss of each row's target [rows], the rows read whole."""
    packed = pack(model, rows)
    with products_in(precision, packed.mask.device):
        logits = target_logits(model, packed)
    return row_losses(logits, packed.targets)


def _step(
    losses_of: Losses, optimizer: torch.optim.Optimizer, rows: list[Row], step: int, share: float
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * share
    with torch.enable_grad():
        loss = torch.cat([losses_of(group) for group in alike(rows)]).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
    told = float(loss.detach())
    if not torch.isfinite(loss):
        raise RunFailedError(
            f"training step {step}: the loss is {told}; lower learning_rate and run again"
        )
    held = [weight for group in optimizer.param_groups for weight in group["params"]]
    torch.nn.utils.clip_grad_norm_(held, _CLIP)
    optimizer.step()
    return round(told, 6)


def _share(step: int, steps: int) -> float:
    """Of the highest learning rate: up in the first twentieth, then down to 0 in a line."""
    warm = max(1, round(_WARM * steps))
    return step / warm if step <= warm else (steps - step + 1) / (steps - warm + 1)


def checkpoint_place(
    scratch: Path, kind: str, rows: tuple[Row, ...], own: Mapping[str, Any], seed: int
) -> Path:
    """The folder of what a training of exactly this kind has come to; ``own`` tells its kind."""
    read = [[list(part) for part in row.parts] + [list(row.target)] for row in rows]
    place = scratch / f"{kind}-{fingerprint([dict(own), seed, read])[:16]}"
    with writing(place):
        place.mkdir(exist_ok=True)
    return place


@contextmanager
def short_rows(llm: LocalModel) -> Iterator[None]:
    """On a CPU the fused attention takes longer for rows of some dozen tokens."""
    before = llm.model.config._attn_implementation
    if llm.device.type == "cpu":
        llm.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        llm.model.set_attn_implementation(before)


def trainable(llm: LanguageModel) -> LocalModel:
    """The model, if it can be trained. Raises ConfigError if its weights are out of reach."""
    from harness.llm.local import LocalModel

    if not isinstance(llm, LocalModel):
        raise ConfigError(
            f"model '{llm.name}' cannot be trained here; take a local transformers model"
        )
    return llm
