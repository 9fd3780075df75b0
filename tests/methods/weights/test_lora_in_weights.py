"""LoRA in weights: a small model learns what it studies, the same each time, and is left alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.fingerprint import folder_fingerprint
from harness.llm.edits import weights_digest
from harness.testing.conformance import check_method
from methods.lora_in_weights.control import LoraInWeightsOther
from methods.lora_in_weights.method import LoraInWeights
from methods.study import lora
from tests.methods.weights.lab import PASSAGES, QUICK, answers, load, written

ASK = "The lighthouse of Vell was built by who in 1821?"


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load(completion_model_dir)


def method(cls=LoraInWeights, **params):
    return cls(cls.Params(**{**QUICK, **params}))


@pytest.fixture(scope="module")
def learnt(tiny, tmp_path_factory) -> Path:
    """A memory that was studied until it was known."""
    folder = tmp_path_factory.mktemp("learnt") / "memory"
    long = {"steps": 120, "rank": 8, "learning_rate": 1e-2}
    return written(method(**long), tiny, folder, PASSAGES[:1])


def test_what_was_studied_is_known_and_the_model_left_alone(tiny, learnt):
    before, (ignorant,) = weights_digest(tiny.model), answers_without(tiny)
    told = json.loads((learnt / "study.json").read_text())
    assert told["losses"][-1] < 0.2 * told["losses"][0]
    assert answers(method(), tiny, learnt, [ASK]) == ["Mara Quint"] != [ignorant]
    assert weights_digest(tiny.model) == before
    assert not any(weight.requires_grad for weight in tiny.model.parameters())


def answers_without(tiny) -> list[str]:
    from harness.llm.base import GenerateRequest
    from methods.study.rows import closed_book

    prompt = closed_book(ASK).render("completion")
    return [dict(tiny.generate([GenerateRequest(prompt, 8)]))[0].first_line]


def test_a_kill_at_any_step_ends_in_the_same_bytes(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(lora, "CHECKPOINT_EVERY", 2)
    whole = folder_fingerprint(written(method(steps=5), tiny, tmp_path / "whole"))
    step = lora._step

    def killed(*args):
        if args[3] == 4 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(lora, "_step", killed)
    (tmp_path / "scratch").mkdir()
    before = weights_digest(tiny.model)
    for place in ("first", "second"):
        one = method(steps=5)
        try:
            resumed(one, tiny, tmp_path / place, tmp_path / "scratch")
        except KeyboardInterrupt:
            assert weights_digest(tiny.model) == before
    assert folder_fingerprint(tmp_path / "second") == whole


def resumed(one, tiny, folder: Path, scratch: Path) -> None:
    from dataclasses import replace

    from harness.data.corpus import Corpus
    from tests.methods.weights.lab import opened

    folder.mkdir()
    opened(one, tiny)
    one.open(replace(one.lent, scratch=scratch))
    one.write(Corpus.from_passages(PASSAGES), (), folder)


@pytest.mark.parametrize("cls", [LoraInWeights, LoraInWeightsOther])
def test_conformance(cls, tiny):
    kept = check_method(cls, {**QUICK, "steps": 1}, model=tiny)
    assert "afterwards the model's weights are bit for bit what they were" in kept
    assert "needs says what is changed of the model" in kept
