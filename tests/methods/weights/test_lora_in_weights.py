"""LoRA in weights: a small model learns what it studies, the same each time, and is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.fingerprint import folder_fingerprint
from harness.llm.edits import weights_digest
from harness.testing.conformance import check_method
from methods.lora_in_weights.control import LoraInWeightsOther
from methods.lora_in_weights.method import LoraInWeights
from methods.no_retrieval import NoRetrieval
from methods.study import lora, passing, training
from tests.methods.weights.lab import (
    BUILT,
    LEARNS,
    QUICK,
    KilledError,
    answers,
    killed_in_the_fourth_step,
    load,
    written,
)

ASK = {"q": BUILT}


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load(completion_model_dir)


def method(cls=LoraInWeights, **params):
    return cls(cls.Params(**{**QUICK, **params}))


@pytest.fixture(scope="module")
def memory(tiny, tmp_path_factory) -> Path:
    """A memory that was studied until it was known."""
    return written(method(**LEARNS), tiny, tmp_path_factory.mktemp("lora") / "memory")


def test_what_was_studied_is_known_and_the_model_left_alone(tiny, memory):
    before, plain = weights_digest(tiny.model), NoRetrieval(NoRetrieval.Params(shots=0))
    told = json.loads((memory / "study.json").read_text())
    assert told["losses"][-1] < 0.2 * told["losses"][0]
    assert answers(method(), tiny, memory, ASK)["q"].answer == "Mara Quint"
    assert answers(plain, tiny, memory, ASK)["q"].answer != "Mara Quint"
    assert weights_digest(tiny.model) == before
    assert not any(weight.requires_grad for weight in tiny.model.parameters())


def test_its_bytes_are_those_of_the_adapter(tiny, memory):
    one = method()
    answers(one, tiny, memory, ASK)
    report = one.storage()
    size = sum(file.stat().st_size for file in (memory / "adapter").iterdir())
    assert (report.parts, report.documents) == ({"adapters": size}, 2)


def test_with_a_retriever_the_passages_are_read_too(tiny, memory):
    one = method(retriever="bm25", k=1)
    (found,) = answers(one, tiny, memory, ASK).values()
    (step,) = [step for step in found.steps if step.kind == "generate"]
    assert [passage.id for passage in found.ranked] == ["d1"]
    assert "Passage: Vell: The lighthouse" in step.data["prompt"]
    assert set(one.storage().parts) > {"adapters", "text"}


def test_a_kill_at_any_step_ends_in_the_same_bytes(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    whole = folder_fingerprint(written(method(steps=5), tiny, tmp_path / "whole"))
    before, steps = weights_digest(tiny.model), killed_in_the_fourth_step(monkeypatch)
    with pytest.raises(KilledError):
        written(method(steps=5), tiny, tmp_path / "killed", tmp_path / "scratch")
    assert weights_digest(tiny.model) == before
    again = written(method(steps=5), tiny, tmp_path / "again", tmp_path / "scratch")
    assert steps == [1, 2, 3, 4, 3, 4, 5], "it goes on from the checkpoint"
    assert folder_fingerprint(again) == whole


@pytest.mark.parametrize(("way", "calls"), [("entity-pairs", 2), ("active-reading", 4)])
def test_texts_that_the_model_makes_are_studied_and_counted(tiny, tmp_path, way, calls):
    folder = written(method(study=way, made=2, steps=1), tiny, tmp_path / "memory")
    told = json.loads((folder / "study.json").read_text())
    assert told["rows"] == 2 + calls, "each passage has two names, so one pair"
    assert told["made_per_source"] == round(told["made_tokens"] / told["source_tokens"], 3) > 0.5
    kept = (tmp_path / "memory-scratch" / "calls.jsonl").read_text().splitlines()
    assert len(kept) == calls


@pytest.mark.parametrize("layers", ["all", "mlp"])
def test_the_lora_may_be_of_the_last_layers_alone(tiny, tmp_path, layers):
    from safetensors import safe_open

    params = {"depth": 0.5, "layers": layers, "precision": "bfloat16", "steps": 30}
    folder = written(method(**{**LEARNS, **params}), tiny, tmp_path / "memory")
    with safe_open(folder / "adapter" / "adapter_model.safetensors", "pt") as weights:
        names = list(weights.keys())
    assert tiny.model.config.num_hidden_layers == 2
    assert names
    assert all(".layers.1." in name for name in names)
    assert any("self_attn" in name for name in names) == (layers == "all")
    losses = json.loads((folder / "study.json").read_text())["losses"]
    assert losses[-1] < 0.7 * losses[0]


def test_layers_below_are_read_once_and_nothing_else_changes(tiny, tmp_path, monkeypatch):
    once = written(method(depth=0.5), tiny, tmp_path / "once")
    monkeypatch.setattr(passing, "MOST_KEPT", 0)
    whole = written(method(depth=0.5), tiny, tmp_path / "whole")
    losses = [json.loads((place / "study.json").read_text())["losses"] for place in (once, whole)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_a_model_whose_mlps_are_experts_is_read_whole(tiny, tmp_path, monkeypatch):
    def refused(*_):
        raise ConfigError("its MLP gives more than hidden states")

    once = written(method(depth=0.5), tiny, tmp_path / "once")
    monkeypatch.setattr(lora, "states", refused)
    whole = written(method(depth=0.5), tiny, tmp_path / "whole")
    losses = [json.loads((place / "study.json").read_text())["losses"] for place in (once, whole)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_plain_text_makes_nothing(tiny, tmp_path):
    folder = written(method(study="text", steps=1), tiny, tmp_path / "memory")
    told = json.loads((folder / "study.json").read_text())
    assert (told["rows"], told["made_tokens"]) == (2, 0)


def test_the_control_studies_permuted_facts_alike(tiny, memory, tmp_path):
    folder = written(method(LoraInWeightsOther, **LEARNS), tiny, tmp_path / "memory")
    told, own = (json.loads((place / "study.json").read_text()) for place in (folder, memory))
    assert told["documents"] == own["documents"]
    assert told["losses"][-1] < 0.2 * told["losses"][0]
    assert answers(method(), tiny, folder, ASK)["q"].answer != "Mara Quint"


def test_conformance(tiny):
    kept = check_method(LoraInWeights, {**QUICK, "steps": 1, "max_tokens": 4}, model=tiny)
    assert "afterwards the model's weights are bit for bit what they were" in kept
    assert "needs says what is changed of the model" in kept
