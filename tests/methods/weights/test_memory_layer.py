"""Memory layer: few slots learn what is studied, the rest and the model stay as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.fingerprint import folder_fingerprint
from harness.llm.edits import weights_digest
from harness.testing.conformance import check_method
from methods.memory_layer import kept, writing
from methods.memory_layer.control import MemoryLayerOther
from methods.memory_layer.method import MemoryLayerMethod
from methods.no_retrieval import NoRetrieval
from methods.study import training
from tests.methods.weights.lab import (
    BUILT,
    KilledError,
    answers,
    killed_in_the_fourth_step,
    load,
    written,
)

ASK = {"q": BUILT}
SMALL = {
    "half_keys": 64, "k": 4, "slots": 1000, "background_tokens": 600, "batch": 4, "questions": 4,
    "steps": 4, "depth": 1,
}  # fmt: skip
LEARNS = {"steps": 40, "learning_rate": 0.3}


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load(completion_model_dir)


@pytest.fixture(scope="module")
def background(tmp_path_factory) -> str:
    """Passages about nothing that is studied."""
    path = tmp_path_factory.mktemp("background") / "corpus.jsonl"
    texts = [f"Town {n}\nThe town has {n * 37} trees, {n + 3} wells and a mill." for n in range(30)]
    rows = [{"id": f"b{n}", "contents": text} for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def method(background):
    def made(cls=MemoryLayerMethod, **params):
        return cls(cls.Params(**{**SMALL, "background": background, **params}))

    return made


@pytest.fixture(scope="module")
def memory(tiny, method, tmp_path_factory) -> Path:
    """A memory that was studied until it was known."""
    return written(method(**LEARNS), tiny, tmp_path_factory.mktemp("layer") / "memory")


def told(folder: Path) -> dict:
    return json.loads((folder / "study.json").read_text())


def test_what_was_studied_is_known_and_the_model_left_alone(tiny, method, memory):
    before, plain = weights_digest(tiny.model), NoRetrieval(NoRetrieval.Params(shots=0))
    mlp = tiny.model.get_submodule(told(memory)["layer"])
    losses = told(memory)["losses"]
    assert losses[-1] < 0.2 * losses[0]
    assert answers(method(), tiny, memory, ASK)["q"].answer == "Mara Quint"
    assert answers(plain, tiny, memory, ASK)["q"].answer != "Mara Quint"
    assert weights_digest(tiny.model) == before
    assert tiny.model.get_submodule(told(memory)["layer"]) is mlp
    assert not any(weight.requires_grad for weight in tiny.model.parameters())


def test_its_bytes_are_the_changed_values_and_apart_from_them_the_layer(tiny, method, memory):
    one = method()
    answers(one, tiny, memory, ASK)
    parts, documents = one.storage().parts, one.storage().documents
    assert documents == 2
    assert parts["memory vectors"] == (memory / "values.safetensors").stat().st_size
    assert parts["shared parameters"] == (memory / "layer.safetensors").stat().st_size
    hidden, changed = tiny.model.config.hidden_size, told(memory)["changed"]
    assert 0 <= parts["memory vectors"] - changed * (2 * hidden + 4) < 300


def test_a_passage_changes_no_more_slots_than_it_may(tiny, method, tmp_path):
    few = written(method(slots=16), tiny, tmp_path / "few")
    assert 16 <= told(few)["changed"] <= 2 * 16


def test_a_kill_at_any_step_ends_in_the_same_bytes(tiny, method, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    whole = folder_fingerprint(written(method(steps=5), tiny, tmp_path / "whole"))
    before, steps = weights_digest(tiny.model), killed_in_the_fourth_step(monkeypatch)
    with pytest.raises(KilledError):
        written(method(steps=5), tiny, tmp_path / "killed", tmp_path / "scratch")
    assert weights_digest(tiny.model) == before
    again = written(method(steps=5), tiny, tmp_path / "again", tmp_path / "scratch")
    assert steps == [1, 2, 3, 4, 3, 4, 5], "it goes on from the checkpoint"
    assert folder_fingerprint(again) == whole


def test_a_kill_in_the_retrofit_reads_no_part_of_the_background_twice(
    tiny, method, tmp_path, monkeypatch
):
    one = {"steps": 2, "mlp": "replaced"}
    whole, read, parts = written(method(**one), tiny, tmp_path / "whole"), kept.states, []

    def killed(llm, name, rows):
        parts.append([row.parts for row in rows])
        if len(parts) == 2:
            raise KilledError
        return read(llm, name, rows)

    def stopped(*_):
        raise KilledError

    def again(name):
        return written(method(**one), tiny, tmp_path / name, tmp_path / "scratch")

    monkeypatch.setattr(kept, "states", killed)
    with pytest.raises(KilledError):
        again("killed")
    with monkeypatch.context() as later, pytest.raises(KilledError):
        later.setattr(writing, "slots_of", stopped)
        again("stopped")
    assert parts[2] == parts[1] and parts.count(parts[0]) == 1
    known = len(parts)
    assert folder_fingerprint(again("done")) == folder_fingerprint(whole)
    assert len(parts) == known > 2, "the retrofit is kept when it is made"


def test_a_map_may_stand_in_the_place_of_the_mlp(tiny, method, tmp_path):
    before = weights_digest(tiny.model)
    folder = written(method(mlp="replaced", **LEARNS), tiny, tmp_path / "memory")
    assert 0 < told(folder)["missed"] < 0.9, "it does in part what the MLP did"
    assert answers(method(mlp="replaced"), tiny, folder, ASK)["q"].answer == "Mara Quint"
    assert weights_digest(tiny.model) == before


def test_the_control_studies_permuted_facts_alike(tiny, method, memory, tmp_path):
    folder = written(method(MemoryLayerOther, **LEARNS), tiny, tmp_path / "memory")
    assert told(folder)["documents"] == told(memory)["documents"]
    assert told(folder)["losses"][-1] < 0.2 * told(folder)["losses"][0]
    assert answers(method(), tiny, folder, ASK)["q"].answer != "Mara Quint"


def test_a_background_that_is_too_small_is_refused(tiny, method, tmp_path):
    with pytest.raises(ConfigError, match=r"half_keys = 128, but the background has \d+ tokens"):
        written(method(half_keys=128, background_tokens=32), tiny, tmp_path / "memory")


def test_the_background_is_part_of_what_a_run_is(method, background):
    other = Path(background).with_name("other.jsonl")
    other.write_text(Path(background).read_text().replace("mill", "hill"))
    assert method().inputs != method(background=str(other)).inputs


def test_a_model_below_full_precision_takes_one_too(completion_model_dir, method, tmp_path):
    half = load(completion_model_dir, dtype="bfloat16")
    for mlp in ("kept", "replaced"):
        folder = written(method(mlp=mlp), half, tmp_path / mlp)
        assert answers(method(mlp=mlp), half, folder, ASK)["q"].answer is not None


def test_conformance(tiny, method):
    given = method(steps=1, max_tokens=4).params.model_dump(exclude_unset=True)
    kept = check_method(MemoryLayerMethod, given, model=tiny)
    assert "afterwards the model's weights are bit for bit what they were" in kept
    assert "needs says what is changed of the model" in kept
