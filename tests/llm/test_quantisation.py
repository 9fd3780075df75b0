"""NF4 and int8 by bitsandbytes, on a CPU."""

from __future__ import annotations

import logging

import pytest

from harness.llm.base import GenerateRequest, ScoreRequest
from harness.llm.catalogue import DEFAULT_MODEL, ModelConfig, resolve_model
from harness.llm.local import LocalModel
from harness.llm.open import open_model

SHOTS = (
    "Question: What is the capital of Italy?\nAnswer: Rome\n\n"
    "Question: Who painted the Mona Lisa?\nAnswer: Leonardo da Vinci\n\n"
    "Question: What is the capital of France?\nAnswer:"
)


def load(path, kind: str | None) -> LocalModel:
    config = ModelConfig(name="tiny", path=str(path), quantization=kind)
    return LocalModel(config, str(path))


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_tiny_model(tiny_model_dir, kind, caplog):
    full, small = load(tiny_model_dir, None), load(tiny_model_dir, kind)
    assert small.model.get_memory_footprint() < full.model.get_memory_footprint()
    assert small.provenance()["parameters"] == full.provenance()["parameters"]
    assert full.exact and not small.exact
    with caplog.at_level(logging.WARNING):
        requests = [GenerateRequest("Question: who?", 4), GenerateRequest("Answer: yes no", 4)]
        replies = dict(small.generate(requests))
    assert [replies[i].completion_tokens for i in (0, 1)] == [4, 4]
    assert not [r for r in caplog.records if r.name.startswith("bitsandbytes")]
    request = ScoreRequest("Question: who?", (" Paris", " yes"))
    exact, rounded = (dict(llm.score([request]))[0].logprobs for llm in (full, small))
    assert rounded != exact
    assert rounded == pytest.approx(exact, abs=3.0)


@pytest.mark.model
@pytest.mark.parametrize(("kind", "at_most"), [("nf4", 0.35), ("int8", 0.45)])
def test_default_model(kind, at_most):
    llm = open_model(resolve_model({"name": DEFAULT_MODEL, "quantization": kind}))
    assert isinstance(llm, LocalModel)
    full_bytes = 4 * llm.provenance()["parameters"]
    assert llm.model.get_memory_footprint() < at_most * full_bytes
    assert not llm.exact
    answer = dict(llm.generate([GenerateRequest(SHOTS, 6, ("\n",))]))[0]
    assert answer.first_line
    paris, chance = dict(llm.score([ScoreRequest(SHOTS, (" Paris", " butter"))]))[0].logprobs
    assert paris > chance + 3
