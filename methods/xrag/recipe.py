"""A recipe: how a bridge is trained. YAML into a validated model; unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from methods.recipes import Part, TaskRecipe, read

RECIPES = Path(__file__).parent / "recipes"


class Stage(Part):
    """The length and the pace of one stage."""

    steps: int = Field(ge=0)
    batch: int = Field(16, ge=1, description="rows of a step")
    learning_rate: float = Field(gt=0, description="highest; it rises, then falls to nothing")
    warmup: float = Field(0.03, gt=0, lt=1, description="share of the steps in which it rises")


class Pretraining(Stage):
    """The first stage: a passage's text is told from its vector."""

    longest: int = Field(64, ge=1, description="tokens of a passage that are told")


class Tuning(Stage):
    """The second stage: questions are answered from the vector of their gold passage."""

    nll: float = Field(1.0, ge=0, description="weight of the golden answer")
    kl: float = Field(2.0, ge=0, description="weight of what the model expects that reads the text")
    taught: int | None = Field(
        None, ge=1, description="questions that it reads the text for, drawn at random; null: all"
    )
    shots: int = Field(4, ge=0, description="demonstrations that it reads before")


class Recipe(TaskRecipe):
    """Everything that decides what training gives, beside the data."""

    encoder: str = Field("all-minilm-l6-v2", description="a dense encoder of the catalogue")
    pretraining: Pretraining
    tuning: Tuning
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the frozen weights; auto takes the faster, measured"
    )
    seed: int = Field(0, ge=0)
    checkpoint_every: int = Field(50, ge=1, description="steps between checkpoints")
    validate_every: int = Field(100, ge=1, description="steps between validations")
    validation_questions: int = Field(64, ge=1, description="of one validation while it trains")

    measured: int = Field(
        240, ge=0, description="held-out questions that the trained bridge is measured on"
    )

    @model_validator(mode="after")
    def _something_is_learnt(self) -> Self:
        if self.tuning.steps and not self.tuning.nll + self.tuning.kl:
            raise ValueError("nll and kl are 0: switch one on, or set steps: 0")
        return self


def read_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or a YAML file. Errors name the file, the key and the fix."""
    return read(Recipe, name, RECIPES)
