"""NF4 and int8 by bitsandbytes, on a CPU."""

from __future__ import annotations

import logging

import pytest

from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.open import open_model
from harness.llm.requests import GenerateRequest, ScoreRequest

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
    assert full.runtime.exact and not small.runtime.exact
    with caplog.at_level(logging.WARNING):
        requests = [GenerateRequest("Question: who?", 4), GenerateRequest("Answer: yes no", 4)]
        replies = dict(small.generate(requests))
    assert [replies[i].completion_tokens for i in (0, 1)] == [4, 4]
    assert not [r for r in caplog.records if r.name.startswith("bitsandbytes")]
    request = ScoreRequest("Question: who?", (" Paris", " yes"))
    exact, rounded = (dict(llm.score([request]))[0].logprobs for llm in (full, small))
    assert rounded != exact
    assert rounded == pytest.approx(exact, abs=3.0)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_weights_stay_as_they_were_loaded(tiny_model_dir, kind):
    import torch

    llm, fresh = load(tiny_model_dir, kind), load(tiny_model_dir, kind)
    dict(llm.generate([GenerateRequest("Question: who?", 4)]))
    used, loaded = llm.model.state_dict(), fresh.model.state_dict()
    assert used.keys() == loaded.keys()
    assert all(torch.equal(used[name], loaded[name]) for name in loaded)


def test_gradients_pass_through_nf4_that_was_read_without_any(tiny_model_dir):
    import torch
    from bitsandbytes.functional import dequantize_4bit

    llm, exact = load(tiny_model_dir, "nf4"), load(tiny_model_dir, None)
    for name, layer in llm.model.named_modules():
        if state := getattr(getattr(layer, "weight", None), "quant_state", None):
            exact.model.get_submodule(name).weight.copy_(dequantize_4bit(layer.weight, state))
    dict(llm.generate([GenerateRequest("Question: who?", 4)]))
    vectors = [
        model.get_input_embeddings()(torch.arange(5, 25)[None]).detach().requires_grad_()
        for model in (llm.model, exact.model)
    ]
    for model, inputs in zip((llm.model, exact.model), vectors, strict=True):
        model(inputs_embeds=inputs).logits.square().mean().backward()
    rounded, wanted = (inputs.grad for inputs in vectors)
    torch.testing.assert_close(rounded, wanted, rtol=1e-3, atol=1e-3 * wanted.abs().max().item())


@pytest.mark.model
@pytest.mark.parametrize(("kind", "at_most"), [("nf4", 0.35), ("int8", 0.45)])
def test_default_model(kind, at_most):
    llm = open_model(resolve_model({"name": DEFAULT_MODEL, "quantization": kind}))
    assert isinstance(llm, LocalModel)
    full_bytes = 4 * llm.provenance()["parameters"]
    assert llm.model.get_memory_footprint() < at_most * full_bytes
    assert not llm.runtime.exact
    answer = dict(llm.generate([GenerateRequest(SHOTS, 1, ("\n",))]))[0]
    assert answer.first_line
    paris, chance = dict(llm.score([ScoreRequest(SHOTS, (" Paris", " butter"))]))[0].logprobs
    assert paris > chance + 3
