"""Parameters of a LoRA that is trained on passages."""

from __future__ import annotations

from pydantic import BaseModel, Field


class LoraParams(BaseModel):
    """Its size, and how it is trained."""

    rank: int = Field(16, ge=1, le=512, description="of the LoRA, in every linear layer")
    steps: int = Field(400, ge=1, description="training steps")
    batch: int = Field(8, ge=1, description="texts or questions of a training step")
    learning_rate: float = Field(1e-3, gt=0, description="highest of the training")
