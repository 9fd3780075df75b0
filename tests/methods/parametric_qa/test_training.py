"""Training the shared parts: resumable, seeded, each loss by itself, only what is to be trained."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from harness.errors import ConfigError, InputError, RunFailedError
from harness.llm.catalogue import resolve_model
from harness.llm.style import prompt_style
from harness.llm.weights import model_fingerprint
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa.shared.bundle import Bundle
from methods.parametric_qa.train import checks, training
from methods.parametric_qa.train.curves import read_curves
from methods.parametric_qa.train.recipe import Losses, SelectorTraining, Tuning, read_recipe
from tests.methods.parametric_qa.lab import load_tiny, quiet
from tests.methods.parametric_qa.training_lab import losses, recipe, run, toy_task


@pytest.fixture(scope="module")
def task():
    return toy_task()


@pytest.fixture(scope="module")
def whole(tiny_model_dir, task, tmp_path_factory):
    """What the recipe of all tests leaves, trained without a stop."""
    out = tmp_path_factory.mktemp("training") / "whole"
    run(tiny_model_dir, task, out)
    return out


def test_the_answer_loss_falls(tiny_model_dir, task, tmp_path):
    run(
        tiny_model_dir,
        task,
        tmp_path,
        steps=30,
        learning_rate=1e-2,
        tuning=Tuning(learning_rate=1e-2),
    )
    values = losses(tmp_path)
    assert sum(values[-5:]) < 0.5 * sum(values[:5])


def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    tiny_model_dir, task, whole, tmp_path, monkeypatch
):
    step = training.Reader.step

    def killed(self, number):
        if number == 5:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(training.Reader, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_model_dir, task, tmp_path / "parts")
    monkeypatch.setattr(training.Reader, "step", step)
    run(tiny_model_dir, task, tmp_path / "parts")
    for name in ("shared.safetensors", "selector.safetensors", "adapter/adapter_model.safetensors"):
        one, parts = (load_file(side / name) for side in (whole, tmp_path / "parts"))
        assert one.keys() == parts.keys()
        assert all(torch.equal(one[key], parts[key]) for key in one), name
    assert losses(whole) == losses(tmp_path / "parts")


def test_a_resumed_training_keeps_the_type_that_was_measured_to_be_faster(
    tiny_model_dir, task, tmp_path, monkeypatch
):
    monkeypatch.setattr(training, "faster_dtype", lambda device: torch.bfloat16)
    run(tiny_model_dir, task, tmp_path, dtype="auto")
    monkeypatch.setattr(training, "faster_dtype", lambda device: torch.float32)
    assert run(tiny_model_dir, task, tmp_path, dtype="auto").model.dtype == torch.bfloat16


def test_another_seed_gives_other_parts(tiny_model_dir, task, whole, tmp_path):
    run(tiny_model_dir, task, tmp_path, seed=1)
    one, other = (load_file(folder / "shared.safetensors") for folder in (whole, tmp_path))
    assert not torch.equal(one["mark"], other["mark"])


@pytest.mark.parametrize("kind", ["answer", "distil", "reconstruct", "follow"])
def test_each_loss_can_be_taken_alone(tiny_model_dir, task, tmp_path, kind):
    shares = {name: float(name == kind) for name in Losses.model_fields}
    run(tiny_model_dir, task, tmp_path, steps=2, losses=Losses(**shares))
    kinds = {name for _, name, _, _ in read_curves(tmp_path / "curves.csv") if "loss" in name}
    assert kinds == {f"loss {kind}", "selector loss"}


def test_a_frozen_model_stays_as_it_is(tiny_model_dir, task, tmp_path):
    before = model_fingerprint(load_tiny(tiny_model_dir).model)
    llm = run(tiny_model_dir, task, tmp_path, tuning=Tuning(mode="frozen"))
    assert model_fingerprint(llm.model) == before
    assert not (tmp_path / "adapter").exists()
    trained = Bundle.load(tmp_path)
    trained.parts.check_model(llm.model, "tiny")


def test_a_fully_trained_model_is_another_model(tiny_model_dir, task, tmp_path):
    run(tiny_model_dir, task, tmp_path, tuning=Tuning(mode="full"))
    parts = Bundle.load(tmp_path).parts
    parts.check_model(load_tiny(tmp_path / "model").model, "trained")
    with pytest.raises(ConfigError, match="train shared parts for this one"):
        parts.check_model(load_tiny(tiny_model_dir).model, "tiny")
    # It learned completions, though the model that it was made of has a chat template.
    assert prompt_style(resolve_model(f"path:{tiny_model_dir}")) == "chat"
    assert prompt_style(resolve_model(f"path:{tmp_path / 'model'}")) == "completion"


def test_a_lora_is_saved_without_a_path_of_this_machine(tiny_model_dir, task, tmp_path):
    llm = run(tiny_model_dir, task, tmp_path)
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == llm.name
    assert str(tiny_model_dir) not in (tmp_path / "shared.json").read_text()
    with load_tiny(tiny_model_dir).adapted(tmp_path / "adapter"):
        pass


def test_checkpoints_and_curves_are_no_part_of_what_is_used(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    used = ["shared.json", "shared.safetensors", "selector.safetensors"]
    used += [f"adapter/{path.name}" for path in (tmp_path / "adapter").iterdir()]
    bundle, method = Bundle.load(tmp_path), ParametricQA(ParametricQA.Params(shared=str(tmp_path)))
    assert bundle.bytes == sum((tmp_path / name).stat().st_size for name in used)
    before = method.inputs
    shutil.rmtree(next(tmp_path.glob("checkpoint-*")))
    (tmp_path / "curves.csv").unlink()
    assert method.inputs == before
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    assert method.inputs != before


def test_a_loss_that_is_no_number_stops_training(tiny_model_dir, task, tmp_path, monkeypatch):
    def broken(self, model, kind, source, **options):
        return torch.tensor(float("nan"), requires_grad=True)

    monkeypatch.setattr(training.Objectives, "loss", broken)
    with pytest.raises(RunFailedError, match=r"the loss of step 1 \(answer\) is nan; lower"):
        run(tiny_model_dir, task, tmp_path)
    assert not (tmp_path / "shared.json").exists()


def test_the_selector_learns_to_find_gold(tiny_model_dir, task, tmp_path):
    settings = SelectorTraining(steps=40, batch=8, random=4, learning_rate=5e-3)
    run(tiny_model_dir, task, tmp_path, steps=0, selection=settings)
    values = [
        v for _, name, v, _ in read_curves(tmp_path / "curves.csv") if name == "selector loss"
    ]
    assert sum(values[-5:]) < 0.7 * sum(values[:5])


def test_the_command_trains_and_says_what_validation_found(
    tiny_model_dir, task, tmp_path, monkeypatch
):
    from methods.parametric_qa.train import from_recipe as commands
    from methods.parametric_qa.train import training_data

    monkeypatch.setattr(training_data, "read_training_task", lambda source: task)
    path = tmp_path / "mine.yaml"
    path.write_text(recipe(model=f"path:{tiny_model_dir}").model_dump_json())
    lines = list(commands.train(str(path), tmp_path / "out", {"steps": 2}, "cpu", quiet()))
    assert any(line.startswith("validation recall@5 toy, step 3: ") for line in lines)
    assert Bundle.load(tmp_path / "out").parts.config.slots == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": Losses(answer=0)}, "all losses are 0"),
        (
            {"losses": Losses(distil=1), "tuning": Tuning(mode="full")},
            "distil needs the model as it",
        ),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        checks.check_recipe(recipe(**changes))


def test_shipped_recipes_are_valid():
    from methods.parametric_qa.train.recipe import RECIPES

    for path in RECIPES.glob("*.yaml"):
        checks.check_recipe(read_recipe(path.stem))
        checks.check_recipe(read_recipe(str(path)))


def test_a_misspelt_recipe_or_key_is_named(tmp_path):
    with pytest.raises(InputError, match="did you mean 'smollm2-135m-instruct'"):
        read_recipe("smollm2-135m-instrct")
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\nmodel: y\ntasks: [nq]\nz_dim: 8\nsteps: 1\nbach: 4\n")
    with pytest.raises(ConfigError, match=r"mine.yaml: 'bach'"):
        read_recipe(str(path))
