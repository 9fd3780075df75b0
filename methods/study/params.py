"""Parameters of training on passages."""

from __future__ import annotations

from math import ceil
from typing import Literal

from pydantic import BaseModel, Field


class StudyParams(BaseModel):
    """How something is trained on rows of study."""

    epochs: int = Field(6, ge=1, description="how often everything is studied")
    steps: int | None = Field(None, ge=1, description="training steps; null: as epochs come to")
    batch: int = Field(8, ge=1, description="texts or questions of a training step")
    learning_rate: float = Field(1e-3, gt=0, description="highest of the training")

    def steps_for(self, rows: int) -> int:
        """Training steps on so many rows."""
        return self.steps or self.epochs * ceil(rows / self.batch)


class LoraParams(StudyParams):
    """A LoRA's size, and how it is trained."""

    rank: int = Field(16, ge=1, le=512, description="of the LoRA")
    alpha: int | None = Field(
        None,
        ge=1,
        description="over the rank, what the LoRA is multiplied by; null: twice the rank",
    )
    layers: Literal["all", "mlp"] = Field(
        "all", description="linear layers that have the LoRA: all but the head, or those of MLPs"
    )
