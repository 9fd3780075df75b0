"""Parameters of consolidation, beside those of Parametric QA."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from methods.parametric_qa.method import ParametricQA
from methods.study.params import PRECISION, LoraParams, Precision


class ConsolidationParams(ParametricQA.Params):
    """Those of parametric-qa; what is consolidated, how it is studied and when it counts."""

    # By its content part of a run's identity, see inputs; where it lay is not.
    log: str | None = Field(
        None,
        exclude=True,
        description="questions that were asked before: a file of JSON Lines, each with "
        "'question'; null: the task's train questions",
    )
    share: float = Field(
        0.1, gt=0, le=1, description="of the documents that are consolidated, at most"
    )
    reads: int = Field(
        1,
        ge=1,
        description="questions of the log that a consolidated document is read for, or more",
    )
    in_force: Literal["own", "always"] = Field(
        "own",
        description="the LoRA; own: for questions about consolidated documents, always: for "
        "those that read memories, too",
    )
    study: Literal["text", "questions"] = Field(
        "questions", description="text: the passages; questions: they and questions by rule"
    )
    questions: int = Field(64, ge=1, le=1000, description="made of a passage by rule, at most")
    epochs: int = Field(2, ge=1, description="how often everything is studied")
    batch: int = Field(16, ge=1, description="texts or questions of a step of the study")
    study_rate: float = Field(2e-3, gt=0, description="highest learning rate of the study")
    rank: int = Field(16, ge=1, le=512, description="of the LoRA")
    depth: float = Field(
        0.34, gt=0, le=1, description="share of the model's layers, the last ones, that have it"
    )
    precision: Precision = Field("float32", description=PRECISION)

    @property
    def lora(self) -> LoraParams:
        """The LoRA's size, and how it is trained; the rest is as lora-in-weights has it."""
        alike = ("epochs", "batch", "rank", "depth", "precision")
        given = {name: getattr(self, name) for name in alike}
        return LoraParams(learning_rate=self.study_rate, **given)
