"""Backends offer what their declaration says, once such a model is open."""

from __future__ import annotations

import pytest

from harness.llm.backends import BACKENDS, most
from harness.llm.catalogue import resolve_model
from harness.llm.open import open_model
from tests.harness.llm.server.asking import opened
from tests.stub import Stub, Words

OFFERS = {
    "vLLM": ("top", "prompt_logprobs"),
    "server, likeliest tokens": ("top",),
    "server, text alone": (),
}
DECLARED = {backend.name: backend for backend in BACKENDS}


@pytest.mark.parametrize("name", OFFERS)
def test_a_server_offers_what_it_gives(name: str) -> None:
    with Stub(Words(lambda _: "Paris", lambda *_: 0.5), offers=OFFERS[name]) as stub:
        model = opened(stub, prompt_style="completion")
        model.probe()
        assert model.capabilities == DECLARED[name].capabilities


@pytest.mark.parametrize(
    ("name", "spec"),
    [("transformers", "path:{}"), ("lm-eval", "lm-eval:hf,pretrained={},device=cpu")],
)
def test_a_model_in_this_process(name: str, spec: str, completion_model_dir) -> None:
    model = open_model(resolve_model(spec.format(completion_model_dir)))
    declared = DECLARED[name]
    assert model.capabilities == declared.capabilities
    assert model.has_token("a") is declared.tokens
    model.close()


def test_the_most_of_a_kind() -> None:
    assert most("openai") == DECLARED["vLLM"].capabilities
