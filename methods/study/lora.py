"""The training of one LoRA on rows of study; seeded, resumable, the model as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from harness.errors import ConfigError
from harness.llm.adapters import in_training, save_adapter
from harness.progress import bar
from methods.parametric_qa.write.sequences import Row
from methods.study.params import LoraParams
from methods.study.passing import MLP, Keeper, Kept, first_layer, from_block, mlp_of, states
from methods.study.training import Losses, checkpoint_place, train, trainable

if TYPE_CHECKING:
    from harness.llm.base import LanguageModel
    from harness.llm.local import LocalModel


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
        task_type="CAUSAL_LM",
        **_places(llm, params),
    )
    own = params.model_dump(include=set(LoraParams.model_fields))
    place = None if scratch is None else checkpoint_place(scratch, "lora", rows, own, seed)
    with in_training(llm.model, lora, seed) as model:
        with _reading(llm, rows, params, label) as losses_of:
            losses = train(llm, model, rows, params, seed, place, label, losses_of)
        save_adapter(model, folder, llm.name)
    return losses


def check_layers(llm: LanguageModel, params: LoraParams) -> None:
    """Raise ConfigError for a model that lacks the layers that are to have the LoRA."""
    if params.layers == "mlp":
        mlp_layers(trainable(llm))


@contextmanager
def _reading(
    llm: LocalModel, rows: tuple[Row, ...], params: LoraParams, label: str | None
) -> Iterator[Losses | None]:
    """What enters the first layer with a LoRA stays the same, so it is read once."""
    first = first_layer(llm, params.depth)
    name = mlp_of(llm, first) if first else None
    if name is None:
        yield None
        return
    kept = _kept(llm, name, rows, label)
    with from_block(llm, name, kept, rows, params.precision) as losses_of:
        yield losses_of


def _kept(llm: LocalModel, name: str, rows: tuple[Row, ...], label: str | None) -> Kept:
    """What of each row enters an MLP's block; not of all rows, if they are to be read whole."""
    keeper, console = Keeper(), Console(stderr=True, quiet=label is None)
    try:
        with bar(console, "states of rows", len(rows)) as shown:
            for passed in states(llm, name, rows):
                if not keeper.keep(passed.row, passed.block):
                    break
                shown.advance()
    except ConfigError:  # experts in the place of an MLP
        return {}
    return keeper.kept


def _places(llm: LocalModel, params: LoraParams) -> dict[str, Any]:
    """Which of the model's layers have the LoRA, as peft is told."""
    linear = "all-linear" if params.layers == "all" else mlp_layers(llm)
    if params.depth == 1:
        return {"target_modules": linear}
    first, count = first_layer(llm, params.depth), len(llm.model.get_decoder().layers)
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
        if isinstance(layer, torch.nn.Linear) and not MLP.isdisjoint(name.split(".")[:-1])
    ]
    if not names:
        raise ConfigError(f"model '{llm.name}' has no layers of the name 'mlp'; take layers=all")
    return _last_names(names)


def _last_names(names: Iterable[str]) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in names})
