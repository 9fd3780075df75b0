"""Checks of a recipe before anything is loaded: settings at odds with each other or the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import ConfigError
from methods.parametric_qa.train.start import encoder_alone

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig
    from methods.parametric_qa.train.recipe import Recipe


def check_entry(recipe: Recipe, model: ModelConfig) -> None:
    """Raise ConfigError for a model that the recipe's mode of tuning cannot train."""
    if model.quantization is not None and recipe.tuning.mode == "full":
        raise ConfigError(
            f"recipe '{recipe.name}': mode full cannot train rounded weights, and '{model.name}' "
            f"has quantization {model.quantization}; take mode lora or leave quantization out"
        )
    if model.adapter is not None:
        raise ConfigError(
            f"recipe '{recipe.name}': '{model.name}' has an adapter of its own; take the model "
            "without it, or one that it was merged into"
        )


def check_recipe(recipe: Recipe) -> None:
    """Raise ConfigError for settings that contradict each other."""
    if recipe.steps and not any(recipe.losses.model_dump().values()):
        raise ConfigError(
            f"recipe '{recipe.name}': all losses are 0; switch one on or set steps: 0"
        )
    if recipe.start and recipe.tuning.mode == "full":
        raise ConfigError(
            f"recipe '{recipe.name}': mode full changes the weights that the parts of "
            f"'{recipe.start}' are for; take lora or frozen"
        )
    if recipe.picks and recipe.init != "spans":
        raise ConfigError(
            f"recipe '{recipe.name}': init {recipe.init} writes vectors, and picks are tokens of "
            "the text; leave one of them out"
        )
    if recipe.cuts and not recipe.picks:
        raise ConfigError(
            f"recipe '{recipe.name}': cuts are of codes that are tokens; set picks: true, or leave "
            "them out"
        )
    if recipe.stop == "learned" and (recipe.selector.name == "states" or encoder_alone(recipe)):
        raise ConfigError(
            f"recipe '{recipe.name}': stop: learned is of a selector that chooses in rounds and "
            "is trained along; leave it out, or train the selector"
        )
    if recipe.init == "spans" and recipe.tuning.mode == "frozen" and not recipe.tuning.parts:
        raise ConfigError(
            f"recipe '{recipe.name}': nothing is trained; train an encoder (init), parts or a LoRA"
        )
    if recipe.losses.distil and recipe.tuning.mode == "full":
        raise ConfigError(
            f"recipe '{recipe.name}': distil needs the model as it was, which mode full changes; "
            "take lora or frozen"
        )
