"""LoRA on rounded weights (QLoRA): what is trained, what stays, where the result may be used."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from harness.boards.method_entry import parse_params
from harness.data.corpus import Corpus
from harness.data.demonstrations import QAPrompts
from harness.errors import ConfigError
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.open import open_model
from harness.records import Passage, Query
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.shared.bundle import Bundle
from methods.parametric_qa.shared.gradients import checkpointed, without_dropout
from methods.parametric_qa.train import from_recipe as commands
from methods.parametric_qa.train import training, training_data
from methods.parametric_qa.train.features import Features
from methods.parametric_qa.train.objectives import Objectives
from methods.parametric_qa.train.recipe import Losses, Tuning
from methods.parametric_qa.train.train_reader import Reader
from methods.parametric_qa.train.tuning import tuned
from tests.harness.programs import Opened, open_with, remember
from tests.methods.parametric_qa.lab import NAMES, TEXTS, quiet
from tests.methods.parametric_qa.training_lab import losses, recipe, toy_task
from tests.readme import shallow_models

QUERY = Query("q", "Who wrote Hamlet?")


def load(path, kind: str | None = "nf4") -> LocalModel:
    return LocalModel(
        ModelConfig(name="tiny", path=str(path), quantization=kind, prompt_style="completion"),
        str(path),
    )


def weights(model) -> dict[str, torch.Tensor]:
    """Every number of the model itself, the scales of rounded weights among them."""
    return {
        name.replace("base_model.model.", "").replace(".base_layer", ""): tensor.clone()
        for name, tensor in model.state_dict().items()
        if "lora_" not in name
    }


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def reader(llm: LocalModel, **changes) -> Reader:
    plan = recipe(**changes)
    features = Features(llm, [toy_task()])
    bundle = training._untrained(plan, llm, features)
    ranked = training._candidates(bundle, features)
    model = tuned(llm.model, plan.tuning.mode, plan.tuning.rank, plan.seed)
    return Reader(plan, model, Objectives(features, plan, bundle, ranked))


def gradients(made: Reader, kind: str = "answer") -> dict[str, torch.Tensor]:
    """Of one fixed batch."""
    made.optimizer.zero_grad()
    made.objectives.loss(made.model, kind, random.Random(1)).backward()
    modules = {"model": made.model, **made.modules}
    return {
        f"{kind} {name}": p.grad.clone()
        for kind, module in modules.items()
        for name, p in module.named_parameters()
        if p.grad is not None
    }


@pytest.fixture(scope="module")
def trained(tiny_model_dir, tmp_path_factory) -> Path:
    """Shared parts of 25 steps on the rounded tiny model."""
    folder, llm = tmp_path_factory.mktemp("qlora"), load(tiny_model_dir)
    plan = recipe(steps=25, learning_rate=1e-2, tuning=Tuning(learning_rate=1e-2))
    training.train(plan, llm, [toy_task()], folder, quiet())
    assert same(weights(llm.model), weights(load(tiny_model_dir).model))
    return folder


def test_the_loss_falls(trained):
    values = losses(trained)
    assert sum(values[-5:]) < 0.5 * sum(values[:5])


@pytest.mark.parametrize("init", ["spans", "encoder"])
def test_gradients_reach_the_lora_and_what_is_shared_alone(tiny_model_dir, init):
    found = gradients(reader(load(tiny_model_dir), init=init))
    assert {name.split()[1] for name in found} >= {"mark", "up.weight"}
    assert all("lora_" in name for name in found if name.startswith("model"))
    assert all(gradient.isfinite().all() for gradient in found.values())
    assert ("encoder tokens" in found) == (init == "encoder")


def written(llm: LocalModel, shared: Path) -> tuple[ParametricQA, Opened]:
    rows = zip(NAMES, TEXTS, strict=True)
    corpus = Corpus.from_passages([Passage(name, "", text) for name, text in rows])
    values = {"shared": str(shared), "max_tokens": 4}
    method = ParametricQA(parse_params(ParametricQA, "parametric-qa", values))
    engine = open_with(method, llm, None, corpus, prompts=QAPrompts(), seed=0)
    remember(method, corpus)
    return method, engine


def test_the_same_rounded_model_reads_with_what_was_trained(tiny_model_dir, trained):
    llm, found = load(tiny_model_dir), []
    ParametricQA(ParametricQA.Params(shared=str(trained))).check_model(llm)
    before = weights(llm.model)
    with llm.adapted(trained / "adapter"):
        method, engine = written(llm, trained)
        engine.run([QUERY], found.append)
    assert found[0].prediction.error is None
    assert same(weights(llm.model), before)
    # Once it was used, too: reading leaves the weights as they are.
    method.check_model(llm)


@pytest.mark.parametrize("kind", [None, "int8"])
def test_otherwise_rounded_or_exact_it_is_another_model(tiny_model_dir, trained, kind):
    method = ParametricQA(ParametricQA.Params(shared=str(trained)))
    with pytest.raises(ConfigError, match="train shared parts for this one"):
        method.check_model(load(tiny_model_dir, kind))


def test_rounded_weights_cannot_be_trained_themselves(tiny_model_dir, tmp_path):
    plan = recipe(tuning=Tuning(mode="full"))
    with pytest.raises(ConfigError, match="mode full cannot train rounded weights"):
        training.train(plan, load(tiny_model_dir), [toy_task()], tmp_path / "out", quiet())
    assert not (tmp_path / "out").exists()


def test_a_recipe_names_the_rounded_model(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(training_data, "read_training_task", lambda source: toy_task())
    entry = {"name": "tiny", "path": str(tiny_model_dir), "quantization": "nf4"}
    path = tmp_path / "mine.yaml"
    path.write_text(recipe(model=entry, steps=1).model_dump_json())
    list(commands.train(str(path), tmp_path / "out", {}, "cpu", quiet()))
    llm = open_model(resolve_model(entry))
    ParametricQA(ParametricQA.Params(shared=str(tmp_path / "out"))).check_model(llm)


@pytest.mark.parametrize("quantization", [None, "nf4"])
@pytest.mark.parametrize("init", ["spans", "encoder"])
def test_checkpointing_changes_no_gradient(tiny_model_dir, quantization, init):
    made = reader(load(tiny_model_dir, quantization), init=init)
    with without_dropout(made.model):
        plain = gradients(made)
        with checkpointed(made.model):
            spared = gradients(made)
    assert plain.keys() == spared.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(spared[name], gradient, msg=name)


def test_a_recipe_asks_for_checkpointing(tiny_model_dir, tmp_path, monkeypatch):
    entered = []

    def watched(model):
        entered.append(model)
        return checkpointed(model)

    monkeypatch.setattr(training, "checkpointed", watched)
    for wanted in (True, False):
        plan = recipe(steps=2, tuning=Tuning(gradient_checkpointing=wanted))
        training.train(plan, load(tiny_model_dir), [toy_task()], tmp_path / str(wanted), quiet())
    assert len(entered) == 1
    one, other = (Bundle.load(tmp_path / str(wanted)).parts for wanted in (True, False))
    torch.testing.assert_close(one.state_dict(), other.state_dict())


@pytest.mark.model
@pytest.mark.slow
def test_two_steps_of_the_default_model(monkeypatch):
    """Of its first layers: all thirty alike would take ten seconds."""
    shallow_models(monkeypatch)
    llm = open_model(resolve_model({"name": DEFAULT_MODEL, "quantization": "nf4"}))
    made = reader(llm, z_dim=64, batch=2, memories=(1,), losses=Losses(answer=1))
    before, found = weights(llm.model), []
    with without_dropout(made.model):
        for _ in range(2):
            made.optimizer.zero_grad()
            loss = made.objectives.loss(made.model, "answer", random.Random(1))
            loss.backward()
            made.optimizer.step()
            found.append(loss.item())
    assert all(torch.tensor(found).isfinite()) and found[1] < found[0]
    reached = [name for name, p in made.model.named_parameters() if p.grad is not None]
    assert reached and all("lora_" in name for name in reached)
    assert same(weights(llm.model), before)
