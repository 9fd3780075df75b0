"""Parametric RAG: each passage's LoRA holds it, those found are summed, the model is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.fingerprint import folder_fingerprint
from harness.llm.edits import weights_digest
from harness.testing.conformance import check_method
from methods.prag.control import PRAGShuffled
from methods.prag.method import PRAG, _place
from methods.study import lora
from tests.methods.weights.lab import BUILT, LEARNS, QUICK, KilledError, answers, load, written

ASK = {
    "vell": BUILT,
    "oster": "what is a port on the river ilm",
}
SAID = {"vell": "Mara Quint", "oster": "Oster"}


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load(completion_model_dir)


def method(cls=PRAG, **params):
    return cls(cls.Params(**{**QUICK, "alpha": 16, "layers": "all", "k": 1, **params}))


@pytest.fixture(scope="module")
def memory(tiny, tmp_path_factory) -> Path:
    return written(method(**LEARNS), tiny, tmp_path_factory.mktemp("prag") / "memory")


def test_a_question_has_the_loras_of_what_it_finds(tiny, memory):
    before = weights_digest(tiny.model)
    found = answers(method(), tiny, memory, ASK)
    assert {id_: prediction.answer for id_, prediction in found.items()} == SAID
    (step,) = [step for step in found["vell"].steps if step.kind == "generate"]
    assert step.data["adapters"] == [_place("d1")]
    others = answers(method(PRAGShuffled), tiny, memory, ASK)
    assert all(others[id_].answer != said for id_, said in SAID.items())
    assert weights_digest(tiny.model) == before


def test_combined_reads_the_passages_too(tiny, memory):
    found = answers(method(combine=True), tiny, memory, ASK)["vell"]
    (step,) = [step for step in found.steps if step.kind == "generate"]
    assert "Passage: Vell: The lighthouse" in step.data["prompt"]
    assert step.data["adapters"] == [_place("d1")]


def test_its_bytes_are_those_of_all_adapters(tiny, memory):
    one = method()
    answers(one, tiny, memory, ASK)
    files = [file for file in (memory / "adapters").rglob("*") if file.is_file()]
    assert one.storage().parts["adapters"] == sum(file.stat().st_size for file in files)
    assert one.storage().documents == 2


def test_what_was_trained_is_kept_through_a_kill(tiny, tmp_path, monkeypatch):
    whole = folder_fingerprint(written(method(), tiny, tmp_path / "whole"))
    train, trained = lora.train_lora, []

    def killed(*args, **options):
        trained.append(args[4].name)
        if len(trained) == 2:
            raise KilledError
        return train(*args, **options)

    monkeypatch.setattr(lora, "train_lora", killed)
    with pytest.raises(KilledError):
        written(method(), tiny, tmp_path / "killed", tmp_path / "scratch")
    again = written(method(), tiny, tmp_path / "again", tmp_path / "scratch")
    assert trained == [f"{_place(id_)}.part" for id_ in ("d1", "d2", "d2")]
    assert folder_fingerprint(again) == whole


def test_conformance(tiny):
    kept = check_method(PRAG, {**QUICK, "steps": 1, "max_tokens": 4}, model=tiny)
    assert "afterwards the model's weights are bit for bit what they were" in kept
    assert "revise() leaves what write() would" in kept
