"""Parameters of training on passages."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16"]
PRECISION = "of products in training; bfloat16 for processors that have it"


class StudyParams(BaseModel):
    """How something is trained on rows of study."""

    epochs: int = Field(2, ge=1, description="how often everything is studied")
    steps: int | None = Field(None, ge=1, description="training steps; null: as epochs come to")
    batch: int = Field(8, ge=1, description="texts or questions of a training step")
    learning_rate: float = Field(1e-3, gt=0, description="highest of the training")
    precision: Precision = Field("float32", description=PRECISION)

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
    depth: float = Field(
        0.34, gt=0, le=1, description="share of the model's layers, the last ones, that have it"
    )


def products_in(precision: Precision, device: torch.device) -> torch.autocast:
    """In this context products are computed at the precision; weights stay as they are."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
