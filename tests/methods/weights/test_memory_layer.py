"""Memory layer: few slots learn what is studied, the rest and the model stay as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.fingerprint import folder_fingerprint
from harness.llm.edits import weights_digest
from harness.testing.conformance import check_method
from methods.memory_layer.control import MemoryLayerOther
from methods.memory_layer.method import MemoryLayerMethod
from methods.no_retrieval import NoRetrieval
from methods.study import training
from tests.methods.weights.lab import KilledError, answers, load, written

ASK = {"q": "The lighthouse of Vell was built by who in 1821?"}
SMALL = {
    "half_keys": 32, "k": 4, "slots": 64, "background_tokens": 400, "batch": 4, "questions": 4,
    "steps": 4, "depth": 0.0,
}  # fmt: skip
LEARNS = {"steps": 120, "learning_rate": 0.1}


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load(completion_model_dir)


def method(cls=MemoryLayerMethod, **params):
    return cls(cls.Params(**{**SMALL, **params}))


@pytest.fixture(scope="module")
def memory(tiny, tmp_path_factory) -> Path:
    """A memory that was studied until it was known."""
    return written(method(**LEARNS), tiny, tmp_path_factory.mktemp("layer") / "memory")


def told(folder: Path) -> dict:
    return json.loads((folder / "study.json").read_text())


def test_what_was_studied_is_known_and_the_model_left_alone(tiny, memory):
    before, plain = weights_digest(tiny.model), NoRetrieval(NoRetrieval.Params(shots=0))
    losses = told(memory)["losses"]
    print(losses, told(memory))
    assert losses[-1] < 0.3 * losses[0]
    assert answers(method(), tiny, memory, ASK)["q"].answer == "Mara Quint"
    assert answers(plain, tiny, memory, ASK)["q"].answer != "Mara Quint"
    assert weights_digest(tiny.model) == before
