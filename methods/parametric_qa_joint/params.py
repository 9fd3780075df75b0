"""Parameters of the joint training: what of the model is trained with the codes, on what, how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from methods.parametric_qa.method import ParametricQA

Train = Literal["z", "z+lora", "z+full"]
RATES: dict[Train, float] = {"z": 0.0, "z+lora": 1e-3, "z+full": 1e-4}
"""Highest learning rate of the model's weights, unless a parameter says another."""


class JointParams(ParametricQA.Params):
    """Those of parametric-qa, whose steps train all codes together, and those of the training."""

    train: Train = Field(
        "z+lora",
        description="z: the codes, of a frozen model; z+lora: and a LoRA of the model; z+full: and "
        "all its weights but the embeddings",
    )
    steps: int = Field(
        200, ge=0, le=100_000, description="training steps, each on one batch of the whole pool"
    )
    learning_rate: float = Field(
        0.1, gt=0, description="highest of the codes, in standard deviations of each number"
    )
    model_rate: float | None = Field(
        None, gt=0, description="highest of the model; null: 1e-3 of a LoRA, 1e-4 of all weights"
    )
    rank: int = Field(16, ge=1, le=512, description="of the LoRA, whose alpha is twice as much")
    batch: int = Field(8, ge=1, description="questions or texts of a training step")
    questions: int = Field(64, ge=1, le=1000, description="made of a passage by rule, at most")
    recalls: int = Field(
        4, ge=0, description="how often a passage is recalled while its questions are asked once"
    )

    @property
    def highest_rate(self) -> float:
        """Highest learning rate of the model's weights."""
        return RATES[self.train] if self.model_rate is None else self.model_rate
