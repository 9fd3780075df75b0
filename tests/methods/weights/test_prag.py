"""Parametric RAG: each passage's LoRA holds it, those found are summed, the model is left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.data.corpus import Corpus
from harness.engine import Engine
from harness.fingerprint import folder_fingerprint
from harness.llm.edits import weights_digest
from harness.prompts import QAPrompts
from harness.records import Query
from harness.testing.conformance import check_method
from harness.testing.models import WordRetriever
from methods.prag.control import PRAGShuffled
from methods.prag.method import PRAG
from methods.study import lora
from tests.methods.weights.lab import PASSAGES, QUICK, load

CORPUS = Corpus.from_passages(PASSAGES)
LONG = {"steps": 120, "rank": 8, "learning_rate": 1e-2, "alpha": 16, "layers": "all", "k": 1}
ASK = {
    "vell": "The lighthouse of Vell was built by who in 1821?",
    "oster": "what is a port on the river ilm",
}
SAID = {"vell": "Mara Quint", "oster": "Oster"}


@pytest.fixture(scope="module")
def tiny(completion_model_dir):
    return load(completion_model_dir)


def engine_for(method, llm, scratch: Path | None = None) -> Engine:
    engine = Engine(llm, WordRetriever(CORPUS), CORPUS)
    method.open(replace(engine.lend(prompts=QAPrompts()), scratch=scratch))
    return engine


@pytest.fixture(scope="module")
def learnt(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prag")
    method = PRAG(PRAG.Params(**LONG))
    engine_for(method, tiny)
    method.write(CORPUS, (), folder)
    return folder


def answers(cls, tiny, folder: Path, **params) -> dict[str, str]:
    method, found = cls(cls.Params(**{**LONG, **params})), {}
    engine = engine_for(method, tiny)
    method.load(folder)
    queries = [Query(*each) for each in ASK.items()]
    engine.run(method, queries, lambda a: found.update({a.question_id: a.prediction}))
    return {id_: prediction.answer for id_, prediction in found.items()}


def test_a_question_has_the_loras_of_what_it_finds(tiny, learnt):
    before = weights_digest(tiny.model)
    assert answers(PRAG, tiny, learnt) == SAID
    wrong = answers(PRAGShuffled, tiny, learnt)
    assert all(wrong[id_] != SAID[id_] for id_ in ASK), "the other passage's LoRA was there"
    assert weights_digest(tiny.model) == before


def test_what_was_trained_is_kept_through_a_kill(tiny, tmp_path, monkeypatch):
    folders, trained = [tmp_path / name for name in ("whole", "killed", "again")], []
    for place in (*folders, tmp_path / "scratch"):
        place.mkdir()
    train = lora.train_lora

    def counted(*args, **options):
        if len(trained) == 3 and not (tmp_path / "kill").exists():
            (tmp_path / "kill").touch()
            raise KeyboardInterrupt
        trained.append(args[4])
        return train(*args, **options)

    monkeypatch.setattr(lora, "train_lora", counted)
    for folder, scratch in zip(
        folders, (None, tmp_path / "scratch", tmp_path / "scratch"), strict=True
    ):
        method = PRAG(PRAG.Params(**{**QUICK, "steps": 2}))
        engine_for(method, tiny, scratch)
        try:
            method.write(CORPUS, (), folder)
        except KeyboardInterrupt:
            assert folder == folders[1]
    assert len(trained) == 4, "the first passage was not trained again"
    assert folder_fingerprint(folders[2]) == folder_fingerprint(folders[0])


@pytest.mark.parametrize("cls", [PRAG, PRAGShuffled])
def test_conformance(cls, tiny):
    kept = check_method(cls, {**QUICK, "steps": 1}, model=tiny)
    assert "afterwards the model's weights are bit for bit what they were" in kept
