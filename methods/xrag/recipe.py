"""A recipe: how a bridge is trained. YAML into a validated model; unknown keys are errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.boards.file import task_beside
from harness.boards.task_entry import TaskSource
from harness.errors import ConfigError, InputError, did_you_mean, problem_of

RECIPES = Path(__file__).parent / "recipes"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stage(_Part):
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


class Recipe(_Part):
    """Everything that decides what training gives, beside the data."""

    name: str
    model: str | dict[str, Any]
    encoder: str = Field("all-minilm-l6-v2", description="a dense encoder of the catalogue")
    tasks: tuple[TaskSource, ...] = Field(
        min_length=1, description="names, or entries as a board has them"
    )
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

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """The recipe with other values; ``{"tuning": {"steps": 8}}`` leaves the rest of it.

        Raises ConfigError naming the value that is refused.
        """
        own: dict[str, Any] = {**dict(self), **changes}
        for key, value in changes.items():
            before = getattr(self, key, None)
            if isinstance(before, BaseModel) and isinstance(value, Mapping):
                own[key] = {**before.model_dump(), **value}
        return _parsed(own, f"recipe '{self.name}'")


def read_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or a YAML file. Errors name the file, the key and the fix."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        raise InputError(f"no recipe '{name}'{did_you_mean(name, known)}") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    recipe = _parsed(values, str(path))
    tasks = tuple(task_beside(task, path) for task in recipe.tasks)
    return recipe.model_copy(update={"tasks": tasks})


def _parsed(values: Any, source: str) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        found = problem_of(error)
        raise ConfigError(f"{source}: '{found.where}': {found.message}") from error
