"""What a model learnt from: records of training beside its local weights."""

from __future__ import annotations

from pathlib import Path

from harness.data.trained_on import TrainedOn, record_of_weights
from harness.llm.identity import places
from harness.llm.model_config import ModelConfig


def learnt_by(model: ModelConfig) -> list[TrainedOn]:
    """Records beside a model's local weights, also where they stand in lm-eval's arguments."""
    name = f"model '{model.name}'"
    folders = places(model)
    arguments = folders.pop("lm_eval_args", "").split(",")
    values = [*folders.values(), *(argument.partition("=")[2] for argument in arguments)]
    return [part for value in values if value for part in record_of_weights(Path(value), name)]
