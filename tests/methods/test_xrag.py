"""xRAG: vectors in the place of passages, a bridge for one model and encoder, its training."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.data.trained_on import read_record
from harness.errors import CapabilityError, ConfigError, InputError
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.weights import model_fingerprint
from harness.prompts import QAPrompts
from harness.records import Query
from harness.testing.conformance import check_method
from harness.testing.models import RuleModel, small_task
from harness.testing.vectors import DIMENSIONS, KEY, WordVectors
from methods.parametric_qa.train.curves import read_curves
from methods.parametric_qa.train.training_data import training_task
from methods.xrag import training
from methods.xrag.bridge import CONFIG_FILE, TENSORS_FILE, Bridge, BridgeConfig
from methods.xrag.control import XRAGShuffled
from methods.xrag.measuring import measure
from methods.xrag.method import XRAG
from methods.xrag.recipe import Recipe, read_recipe
from tests.harness.lab import quiet
from tests.harness.programs import open_with
from tests.harness.retrieval.helpers import HashEncoder

DATA = small_task()
VALUES = {"retriever": KEY, "max_tokens": 4}


@pytest.fixture(scope="module")
def tiny(completion_model_dir) -> LocalModel:
    return load(completion_model_dir)


def load(folder) -> LocalModel:
    config = ModelConfig(name="tiny", path=str(folder), prompt_style="completion")
    return LocalModel(config, str(folder))


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


@pytest.fixture(scope="module")
def bridge(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bridge")
    table = tiny.model.get_input_embeddings().weight
    Bridge.untrained(config_of(tiny), table, 0).save(folder, {})
    return folder


def opened(tiny, bridge, cls=XRAG, **values):
    method = cls(cls.Params(**{**VALUES, "bridge": str(bridge), **values}))
    corpus = DATA.corpus
    return open_with(method, tiny, WordVectors(corpus), corpus, prompts=QAPrompts(), seed=0)


def answers(engine):
    found = {}
    queries = [question.query for question in DATA.questions]
    engine.run(queries, lambda done: found.update({done.question_id: done.prediction}))
    return found


@pytest.mark.parametrize("cls", [XRAG, XRAGShuffled])
def test_conformance(tiny, bridge, cls):
    check_method(cls, {**VALUES, "bridge": str(bridge)}, model=tiny)
