"""The small world with a bridge of random weights for the tiny model."""

from __future__ import annotations

from pathlib import Path

from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.weights import model_fingerprint
from harness.testing.models import small_task
from harness.testing.vectors import DIMENSIONS, KEY
from methods.xrag.bridge import Bridge, BridgeConfig

DATA = small_task()
CORPUS = DATA.corpus
QUERIES = [question.query for question in DATA.questions]
VALUES = {"retriever": KEY, "max_tokens": 4}


def load_tiny(folder: Path, **values) -> LocalModel:
    config = ModelConfig(name="tiny", path=str(folder), prompt_style="completion", **values)
    model = LocalModel(config, str(folder))
    model.trained_for = frozenset(config.trained_for)
    return model


def config_of(llm: LocalModel, **values) -> BridgeConfig:
    own = {
        "dimensions": DIMENSIONS,
        "hidden": 64,
        "encoder": KEY,
        "encoder_key": KEY,
        "model": llm.name,
        "model_fingerprint": model_fingerprint(llm.model),
        "prompt_style": "completion",
    }
    return BridgeConfig(**{**own, **values})


def save_bridge(llm: LocalModel, folder: Path, **values) -> Path:
    table = llm.model.get_input_embeddings().weight
    Bridge.untrained(config_of(llm, **values), table, 0).save(folder, {})
    return folder
