"""A recipe of the contextual encoder: YAML into a validated model; unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from methods.parametric_qa.shared.contextual import Size
from methods.recipes import Part, parsed, values_of

RECIPES = Path(__file__).parents[1] / "recipes" / "contextual"


class SizeShare(Size):
    """A size of codes, and in which share of the steps they are rounded to it."""

    share: float = Field(0.0, ge=0)


class Recipe(Part):
    """Everything that decides what training gives, beside the data and the time."""

    name: str
    model: str | dict[str, Any]
    tasks: tuple[str, ...] = ()
    sources: dict[str, float] = Field(default_factory=dict, description="weights of other rows")
    slots: int = Field(32, ge=1, le=512)
    z_dim: int = Field(ge=1)
    sizes: tuple[SizeShare, ...] = Field(
        min_length=1, description="the first one is used by default"
    )
    key_dim: int = Field(56, ge=1, description="numbers of each slot that a key is made of")
    key_width: int = Field(128, ge=1)
    reader_rank: int = Field(5, ge=1)
    encoder_rank: int = Field(8, ge=1)
    longest: int = Field(256, ge=8, description="tokens of a passage, at most")
    documents: int = Field(160, ge=2, description="passages that a step encodes")
    questions: int = Field(256, ge=1, description="questions that a step asks, at most")
    positions: int = Field(24_000, ge=1, description="that a step's questions fill, at most")
    recalled: int = Field(96, ge=0, description="passages that a step recalls, at the start")
    recalled_last: int = Field(16, ge=0, description="the same at the end")
    span: int = Field(64, ge=4, description="tokens that are recalled, at most")
    lead: int = Field(4, ge=1, description="tokens that say where in a passage recall begins")
    memories: dict[int, float] = Field(
        {1: 0.5, 2: 0.15, 3: 0.2, 5: 0.15}, description="memories of a row, and how often"
    )
    no_memory: float = Field(0.06, ge=0, le=0.5, description="share of rows without any memory")
    unforced: float = Field(
        0.06, ge=0, le=0.5, description="share of rows that read what is selected, right or wrong"
    )
    ordered: float = Field(
        0.5, ge=0, le=1, description="share of rows with the best memory last; others are shuffled"
    )
    alone: float = Field(
        0.25, ge=0, le=1, description="share of the time in which every row reads one memory"
    )
    teacher: float = Field(0.12, ge=0, le=0.9, description="share of the time to tune on text")
    teacher_rows: int = Field(192, ge=1, description="rows of such a step")
    distil: float = Field(0.5, ge=0, le=1, description="the teacher's share of an answer's target")
    recall_weight: float = Field(0.5, ge=0)
    retrieve_weight: float = Field(0.3, ge=0)
    learning_rate: float = Field(1e-3, gt=0, description="of the adapters")
    own_learning_rate: float = Field(7e-4, gt=0, description="of the shared parts")
    warmup: float = Field(0.03, gt=0, lt=1, description="share of a phase in which rates rise")
    temperature: float = Field(0.05, gt=0, description="of selection, at the start")
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        for size in self.sizes:
            if size.slots > self.slots or not self.key_dim <= size.z_dim <= self.z_dim:
                raise ValueError(
                    f"size {size.name} is not within {self.slots} slots of {self.key_dim} to "
                    f"{self.z_dim} numbers"
                )
        if not sum(size.share for size in self.sizes):
            raise ValueError("no size has a share of the steps")
        return self


def read_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or a YAML file. Errors name the file, the key and the fix."""
    source = name if name.endswith((".yaml", ".yml")) else f"recipe '{name}'"
    return parsed(Recipe, values_of(name, RECIPES), source)
