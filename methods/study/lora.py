"""The training of one LoRA on rows of study; seeded, resumable, the model as it was afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.errors import ConfigError
from harness.llm.adapters import in_training, save_adapter
from methods.parametric_qa.write.sequences import Row
from methods.study.params import LoraParams
from methods.study.training import checkpoint_place, train

if TYPE_CHECKING:
    from harness.llm.local import LocalModel

MLP = frozenset({"mlp", "feed_forward", "ffn"})
"""What a model's MLPs are called."""


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

    An interrupted training goes on from ``scratch`` and ends in the same bytes. Shows progress
    under ``label``, if there is one. Raises RunFailedError for a loss that is not finite.
    """
    from peft import LoraConfig

    lora = LoraConfig(
        r=params.rank,
        lora_alpha=params.alpha or 2 * params.rank,
        lora_dropout=0.0,
        target_modules="all-linear" if params.layers == "all" else mlp_layers(llm),
        task_type="CAUSAL_LM",
    )
    own = params.model_dump(include=set(LoraParams.model_fields))
    place = None if scratch is None else checkpoint_place(scratch, "lora", rows, own, seed)
    with in_training(llm.model, lora, seed) as model:
        losses = train(llm, model, rows, params, seed, place, label)
        save_adapter(model, folder, llm.name)
    return losses


def mlp_layers(llm: LocalModel) -> list[str]:
    """The names of a model's linear layers within MLPs. Raises ConfigError if it has none."""
    names = [
        name
        for name, layer in llm.model.named_modules()
        if isinstance(layer, torch.nn.Linear) and not MLP.isdisjoint(name.split(".")[:-1])
    ]
    if not names:
        raise ConfigError(f"model '{llm.name}' has no layers of the name 'mlp'; take layers=all")
    return sorted({name.rpartition(".")[2] for name in names})
