from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.llm import gguf
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.open import open_model, weights_of
from harness.llm.requests import GenerateRequest
from tests.stub import Stub, Words


def test_opens_each_kind(tiny_model_dir):
    from harness.llm.lm_eval_model import LMEvalModel
    from harness.llm.local import LocalModel
    from harness.llm.server.model import ServerModel

    local = open_model(resolve_model(f"path:{tiny_model_dir}"), batch_size=2, device="cpu")
    assert isinstance(local, LocalModel)
    spec = f"lm-eval:hf,pretrained={tiny_model_dir},dtype=float32"
    through = open_model(resolve_model(spec), batch_size=2, device="cpu")
    assert isinstance(through, LMEvalModel)
    with Stub(Words(lambda _: "Paris")) as stub:
        server = open_model(resolve_model(f"openai:m@{stub.url}"), batch_size=2)
    assert isinstance(server, ServerModel)
    request = GenerateRequest("Question: who?\nAnswer:", max_tokens=6)
    texts = [dict(model.generate([request]))[0].text for model in (local, through)]
    assert texts[0] == texts[1]
    for model in (local, through, server):
        model.close()


def test_weights_of_each_spec(tmp_path, monkeypatch):
    converted = []
    monkeypatch.setattr(gguf, "materialise", lambda c: converted.append(c.name) or "/made")
    assert weights_of(resolve_model(DEFAULT_MODEL)) == "/made"
    assert weights_of(resolve_model("gguf:/m/a.gguf")) == "/made"
    assert converted == [DEFAULT_MODEL, "a"]
    assert weights_of(resolve_model("hf:org/name")) == "org/name"
    (tmp_path / "config.json").write_text("{}")
    assert weights_of(resolve_model(f"path:{tmp_path}")) == str(tmp_path)
    with pytest.raises(InputError, match="no transformers model folder"):
        weights_of(resolve_model(f"path:{tmp_path}/none"))
