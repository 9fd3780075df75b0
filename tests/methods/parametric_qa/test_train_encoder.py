"""Training an encoder along: what gradients reach, exact resuming, and what writes and refuses."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.boards.method_entry import parse_params
from harness.data.corpus import Corpus
from harness.data.demonstrations import QAPrompts
from harness.errors import ConfigError, InputError
from harness.llm.weights import model_fingerprint
from harness.records import Passage
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.shared.bundle import Bundle
from methods.parametric_qa.shared.encoder import Encoder, encoder_codes
from methods.parametric_qa.shared.initial import document_tokens
from methods.parametric_qa.train import training
from methods.parametric_qa.train.features import Features
from methods.parametric_qa.train.objectives import Objectives
from methods.parametric_qa.train.recipe import Losses, Tuning
from methods.parametric_qa.train.train_reader import Reader
from methods.parametric_qa.train.tuning import tuned
from tests.harness.programs import open_with, remember
from tests.methods.parametric_qa.lab import NAMES, TEXTS, load_tiny
from tests.methods.parametric_qa.training_lab import losses, recipe, run, toy_task

BOTH = Losses(answer=1, reconstruct=1)


@pytest.fixture
def task():
    return toy_task()


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*.safetensors")
        if "checkpoint" not in str(path)
    }


def reader(tiny_model_dir, task, **changes) -> tuple[Reader, object]:
    """A reader before its first step, and the model."""
    plan = recipe(init="encoder", **changes)
    llm = load_tiny(tiny_model_dir)
    features = Features(llm, [task])
    bundle = training._untrained(plan, llm, features)
    ranked = training._candidates(bundle, features)
    model = tuned(llm.model, plan.tuning.mode, plan.tuning.rank, plan.seed)
    return Reader(plan, model, Objectives(features, plan, bundle, ranked)), model


@pytest.mark.parametrize("kind", ["answer", "distil", "reconstruct", "follow"])
@pytest.mark.parametrize("mode", ["lora", "frozen", "full"])
def test_gradients_reach_the_encoder_through_codes_and_what_is_tuned(
    tiny_model_dir,
    task,
    kind,
    mode,
):
    if (kind, mode) == ("distil", "full"):
        return
    made, model = reader(tiny_model_dir, task, tuning=Tuning(mode=mode), no_memory=0)
    made.objectives.loss(model, kind, random.Random(1)).backward()
    encoder = made.objectives.encoder
    assert all(weight.grad.abs().sum() > 0 for weight in encoder.parameters())
    reached = [name for name, p in model.named_parameters() if p.grad is not None]
    if mode == "frozen":
        assert not reached
    if mode == "lora":
        assert reached and all("lora_" in name for name in reached)


def test_the_lora_is_reached_through_codes_alone(tiny_model_dir, task):
    made, model = reader(tiny_model_dir, task)
    documents = [made.objectives.features.tokens("toy", "d0")]
    made.objectives._codes(model, documents).square().sum().backward()
    assert any(p.grad is not None for n, p in model.named_parameters() if "lora_B" in n)


def test_losses_fall(tiny_model_dir, task, tmp_path):
    run(
        tiny_model_dir, task, tmp_path, init="encoder", steps=30, learning_rate=1e-2,
        tuning=Tuning(learning_rate=1e-2),
    )  # fmt: skip
    values = losses(tmp_path)
    assert sum(values[-5:]) < 0.5 * sum(values[:5])


@pytest.mark.parametrize("mode", ["lora", "frozen"])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    tiny_model_dir,
    task,
    tmp_path,
    monkeypatch,
    mode,
):
    options = {"init": "encoder", "losses": BOTH, "tuning": Tuning(mode=mode)}
    run(tiny_model_dir, task, tmp_path / "whole", **options)
    step = Reader.step

    def killed(self, number):
        if number == 5:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(Reader, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_model_dir, task, tmp_path / "parts", **options)
    monkeypatch.setattr(Reader, "step", step)
    run(tiny_model_dir, task, tmp_path / "parts", **options)
    whole, parts = files(tmp_path / "whole"), files(tmp_path / "parts")
    assert {"encoder.safetensors", "selector.safetensors", "shared.safetensors"} <= whole.keys()
    assert whole == parts


def test_a_frozen_model_stays_as_it_is_and_its_encoder_does_not(
    tiny_model_dir,
    task,
    tmp_path,
):
    llm = load_tiny(tiny_model_dir)
    before = model_fingerprint(llm.model)
    made = training._untrained(recipe(init="encoder"), llm, Features(llm, [task]))
    llm = run(tiny_model_dir, task, tmp_path, init="encoder", tuning=Tuning(mode="frozen"))
    assert model_fingerprint(llm.model) == before
    assert Bundle.load(tmp_path).encoder.fingerprint() != made.encoder.fingerprint()


def test_a_fully_trained_model_keeps_its_encoder(tiny_model_dir, task, tmp_path):
    run(tiny_model_dir, task, tmp_path, init="encoder", tuning=Tuning(mode="full"))
    parts = Bundle.load(tmp_path).parts
    parts.check_model(load_tiny(tmp_path / "model").model, "trained")


def test_a_passage_beyond_the_window_is_named_before_any_step(
    tiny_model_dir,
    task,
    tmp_path,
):
    passages = [*task.corpus, Passage("long", "", "Paris " * 3000)]
    longer = replace(task, corpus=Corpus.from_passages(passages))
    with pytest.raises(InputError, match=r"'long' and 4 memory tokens are .* split the document"):
        run(tiny_model_dir, longer, tmp_path, init="encoder")
    assert not list(tmp_path.iterdir())


def written(llm, shared: Path, folder: Path | None = None, **changes):
    rows = zip(NAMES, TEXTS, strict=True)
    corpus = Corpus.from_passages([Passage(name, "", text) for name, text in rows])
    values = {"shared": str(shared), "max_tokens": 4, "code_dtype": "float16", **changes}
    method = ParametricQA(parse_params(ParametricQA, "parametric-qa", values))
    open_with(method, llm, None, corpus, prompts=QAPrompts(), seed=0)
    remember(method, corpus, folder=folder)
    return method, corpus


@pytest.fixture(scope="module")
def trained(tiny_model_dir, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    run(tiny_model_dir, toy_task(), folder, init="encoder", losses=BOTH)
    return folder


def test_memories_are_the_trained_encoders_unless_other_ones_are_asked_for(tiny_model_dir, trained):
    llm = load_tiny(tiny_model_dir)
    with llm.adapted(trained / "adapter"):
        method, corpus = written(llm, trained)
        documents = [document_tokens(llm, passage) for passage in corpus]
        wanted = encoder_codes(llm, Encoder.load(trained), documents)
        torch.testing.assert_close(method._bank.codes(), wanted.half().float())
        asked, _ = written(llm, trained, init="encoder", selection="cosine")
        assert torch.equal(asked._bank.codes(), method._bank.codes())
        spans, _ = written(llm, trained, init="spans")
        assert not torch.allclose(spans._bank.codes(), method._bank.codes(), atol=0.01)


def test_a_bank_of_another_encoder_is_refused(tiny_model_dir, trained, tmp_path):
    llm = load_tiny(tiny_model_dir)
    with llm.adapted(trained / "adapter"):
        method, corpus = written(llm, trained, tmp_path)
        encoder = Encoder.load(trained)
        with torch.no_grad():
            encoder.tokens[0, 0] += 1
        bundle = replace(method._bundle, encoder=encoder)
        bundle.save(tmp_path / "other")
        (tmp_path / "other/adapter").symlink_to(trained / "adapter")
        again = ParametricQA(method.params.model_copy(update={"shared": str(tmp_path / "other")}))
        open_with(again, llm, None, corpus, prompts=QAPrompts(), seed=0)
        with pytest.raises(ConfigError, match="other shared parts.*write it again"):
            again.load(tmp_path)


def test_parts_without_an_encoder_replace_ones_with(tiny_model_dir, task, tmp_path):
    run(tiny_model_dir, task, tmp_path, init="encoder", steps=1)
    assert Bundle.load(tmp_path).init == "encoder"
    run(tiny_model_dir, task, tmp_path, steps=1, tuning=Tuning(mode="frozen"))
    assert Bundle.load(tmp_path).init == "spans"
    assert not (tmp_path / "adapter").exists()


def test_an_encoder_of_other_parts_is_named(tiny_model_dir, trained, tmp_path):
    bundle = Bundle.load(trained)
    bundle.encoder.config = bundle.parts.config.model_copy(update={"model": "other"})
    bundle.save(tmp_path)
    with pytest.raises(InputError, match="its encoder is of other shared parts; train"):
        Bundle.load(tmp_path)


def test_validation_does_not_depend_on_the_size_of_its_batches(
    tiny_model_dir,
    task,
    monkeypatch,
):
    made, _ = reader(tiny_model_dir, task)
    together = made.validate()
    monkeypatch.setattr("methods.parametric_qa.train.train_reader.VALIDATION_BATCH", 1)
    assert made.validate() == pytest.approx(together, abs=1e-4)
