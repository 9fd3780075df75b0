"""The training of one LoRA on rows of study; seeded, resumable, the model as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import ConfigError, RunFailedError
from harness.files import writing
from harness.fingerprint import fingerprint
from harness.llm.adapters import in_training, save_adapter
from harness.progress import bar
from methods.parametric_qa.train.checkpoint import load_checkpoint, save_checkpoint
from methods.parametric_qa.train.tuning import trainable as weights_of
from methods.parametric_qa.write.sequences import Row, pack, row_losses, target_logits
from methods.study.params import LoraParams, products_in
from methods.study.rows import batches

if TYPE_CHECKING:
    from harness.llm.base import LanguageModel
    from harness.llm.local import LocalModel

CHECKPOINT_EVERY = 25
"""Steps; what a kill may cost."""
_MLP = frozenset({"mlp", "feed_forward", "ffn"})
_WARM, _CLIP, _BETAS = 0.05, 1.0, (0.9, 0.95)


def train_lora(
    llm: LocalModel,
    rows: tuple[Row, ...],
    params: LoraParams,
    seed: int,
    folder: Path,
    scratch: Path | None,
    label: str | None = "training",
) -> list[float]:
    """Train a LoRA on rows and save it to ``folder``; the loss of every step, in nats a token.

    A step's loss is the mean over its rows. An interrupted training goes on from ``scratch`` and
    ends in the same bytes. Shows progress under ``label``, if there is one. Raises RunFailedError
    for a loss that is not finite.
    """
    from peft import LoraConfig
    from rich.console import Console

    lora = LoraConfig(
        r=params.rank,
        lora_alpha=params.alpha or 2 * params.rank,
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
        **_places(llm, params),
    )
    steps = params.steps_for(len(rows))
    place = None if scratch is None else _checkpoint(scratch, rows, params, seed)
    with in_training(llm.model, lora, seed) as model, _faster_on_short_rows(llm):
        weights = weights_of(model)
        optimizer = torch.optim.AdamW(
            weights.values(), params.learning_rate, betas=_BETAS, weight_decay=0.0
        )
        state = None if place is None else load_checkpoint(place, weights, optimizer)
        first, losses = (state["step"], list(state["losses"])) if state else (0, [])
        console = Console(stderr=True, quiet=label is None)
        with bar(console, label or "", steps, first) as shown:
            chosen = batches(rows, params.batch, steps, seed)
            for step, batch in enumerate(chosen, 1):
                if step <= first:
                    continue
                rate = params.learning_rate * _share(step, steps)
                loss = _loss(model, batch, params)
                losses.append(_step(loss, optimizer, step, rate))
                if place is not None and (step % CHECKPOINT_EVERY == 0 or step == steps):
                    save_checkpoint(place, step, weights, optimizer, {"losses": losses})
                shown.advance()
        save_adapter(model, folder, llm.name)
    return losses


def _loss(model: Any, rows: list[Row], params: LoraParams) -> torch.Tensor:
    packed = pack(model, rows)
    with torch.enable_grad():
        with products_in(params.precision, packed.mask.device):
            logits = target_logits(model, packed)
        return row_losses(logits, packed.targets).mean()


def _step(loss: torch.Tensor, optimizer: torch.optim.Optimizer, step: int, rate: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
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


def _checkpoint(scratch: Path, rows: tuple[Row, ...], params: LoraParams, seed: int) -> Path:
    """The folder of what a training of exactly this kind has come to."""
    read = [[list(part) for part in row.parts] + [list(row.target)] for row in rows]
    own = [params.model_dump(include=set(LoraParams.model_fields)), seed, read]
    place = scratch / f"lora-{fingerprint(own)[:16]}"
    with writing(place):
        place.mkdir(exist_ok=True)
    return place


@contextmanager
def _faster_on_short_rows(llm: LocalModel) -> Iterator[None]:
    """On a CPU the fused attention takes longer for rows of some dozen tokens."""
    before = llm.model.config._attn_implementation
    if llm.device.type == "cpu":
        llm.model.set_attn_implementation("eager")
    try:
        yield
    finally:
        llm.model.set_attn_implementation(before)


def _places(llm: LocalModel, params: LoraParams) -> dict[str, Any]:
    """Which of the model's layers have the LoRA, as peft is told."""
    linear = "all-linear" if params.layers == "all" else mlp_layers(llm)
    if params.depth == 1:
        return {"target_modules": linear}
    count = len(llm.model.get_decoder().layers)
    first = count - max(1, round(params.depth * count))
    named = linear_layers(llm) if params.layers == "all" else linear
    return {"target_modules": named, "layers_to_transform": list(range(first, count))}


def linear_layers(llm: LocalModel) -> list[str]:
    """The names of a model's linear layers, but for the head's."""
    head = llm.model.get_output_embeddings()
    return _last_names(
        name
        for name, layer in llm.model.named_modules()
        if isinstance(layer, torch.nn.Linear) and layer is not head
    )


def mlp_layers(llm: LocalModel) -> list[str]:
    """The names of a model's linear layers within MLPs. Raises ConfigError if it has none."""
    names = [
        name
        for name, layer in llm.model.named_modules()
        if isinstance(layer, torch.nn.Linear) and not _MLP.isdisjoint(name.split(".")[:-1])
    ]
    if not names:
        raise ConfigError(f"model '{llm.name}' has no layers of the name 'mlp'; take layers=all")
    return _last_names(names)


def _last_names(names: Iterable[str]) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in names})


def trainable(llm: LanguageModel) -> LocalModel:
    """The model, if it can be trained. Raises ConfigError if its weights are out of reach."""
    from harness.llm.local import LocalModel

    if not isinstance(llm, LocalModel):
        raise ConfigError(
            f"model '{llm.name}' cannot be trained here; take a local transformers model"
        )
    return llm
