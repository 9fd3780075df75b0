"""The shared parts that a training goes on from, and what of their reader is trained further."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.trained_on import TrainedOn, read_record
from harness.errors import ConfigError
from harness.llm.style import prompt_style
from methods.parametric_qa.shared.bundle import (
    Bundle,
    adapter_of,
    base_of,
    check_style,
    find_bundle,
    shipped_names,
)

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from harness.llm.model_config import ModelConfig
    from methods.parametric_qa.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Start:
    """Earlier shared parts. ``adapter`` is their tuned reader's, ``further`` whether it is trained.

    ``reader_alone``: their maps, selector and encoder are not taken. ``base`` are the shipped parts
    that what is trained belongs to, if it is an encoder alone.
    """

    bundle: Bundle
    adapter: Path | None
    further: bool
    trained: TrainedOn
    base: str | None
    reader_alone: bool = False

    @property
    def kept(self) -> Path | None:
        """The adapter that the model has while all of it stays as it is."""
        return None if self.further else self.adapter

    @property
    def trained_adapter(self) -> Path | None:
        """The adapter that is trained further."""
        return self.adapter if self.further else None


def started(recipe: Recipe, llm: LocalModel) -> Start | None:
    """What a recipe starts from; None if from the model alone.

    Raises what ``read_start`` does, and ConfigError for parts of another model.
    """
    start = read_start(recipe, llm.config)
    if start is not None:
        start.bundle.parts.check_model(llm.model, llm.name)
    return start


def read_start(recipe: Recipe, model: ModelConfig) -> Start | None:
    """The like without a model loaded.

    Tokens of a text need no maps, so of parts whose codes are vectors they take the reader alone.
    Raises ConfigError for parts of another style than the model's, or another shape than the
    recipe's.
    """
    if recipe.start is None:
        return None
    folder = find_bundle(recipe.start)
    check_style(folder, prompt_style(model), model.name)
    bundle = Bundle.load(folder)
    shape = bundle.parts.config
    reader_alone = recipe.picks and not shape.picks
    for name in () if reader_alone else ("slots", "z_dim", "sharpness", "picks"):
        if getattr(recipe, name) != getattr(shape, name):
            raise ConfigError(
                f"recipe '{recipe.name}': {name} is {getattr(recipe, name)}, but that of "
                f"'{recipe.start}' is {getattr(shape, name)}; give the same"
            )
    record = read_record(folder, f"shared parts '{recipe.start}'")
    base = base_of(folder)
    shipped = base.name in shipped_names() and base == find_bundle(base.name)
    alone = encoder_alone(recipe) and shipped
    further = recipe.tuning.mode == "lora"
    kept = base.name if alone else None
    return Start(bundle, adapter_of(folder), further, record, kept, reader_alone)


def encoder_alone(recipe: Recipe) -> bool:
    """Whether a recipe trains an encoder and nothing else."""
    others = recipe.tuning.parts or recipe.tuning.mode != "frozen" or recipe.selection.steps
    return recipe.init != "spans" and not others
