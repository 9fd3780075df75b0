"""Shared parts: what they are untrained, which model they are for, and how they are kept."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import ConfigError, InputError
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.weights import model_fingerprint
from methods.parametric_qa.shared.parts import (
    CONFIG_FILE,
    TENSORS_FILE,
    SharedParts,
)
from tests.tiny import build_tiny_model

pytestmark = pytest.mark.numeric


def load(path) -> LocalModel:
    return LocalModel(
        ModelConfig(name="tiny", path=str(path), prompt_style="completion"), str(path)
    )


@pytest.fixture(scope="module")
def tiny(tiny_model_dir) -> LocalModel:
    return load(tiny_model_dir)


@pytest.fixture
def folder(tiny, tmp_path):
    parts = SharedParts.from_model(tiny, slots=4, z_dim=16)
    parts.save(tmp_path)
    return tmp_path


def refusal(folder, file: str) -> str:
    with pytest.raises(InputError) as caught:
        SharedParts.load(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / file}: ") and "\n" not in message
    return message


def test_as_wide_as_the_model_they_lose_nothing(tiny):
    parts = SharedParts.from_model(tiny, slots=4, z_dim=64)
    table = tiny.model.get_input_embeddings().weight.detach()
    torch.testing.assert_close(parts.up(parts.down(table)), table, atol=1e-4, rtol=0)


def test_narrower_they_lose_what_varies_least(tiny):
    table = tiny.model.get_input_embeddings().weight.detach()
    variances = torch.linalg.svdvals(table - table.mean(dim=0)) ** 2
    for z_dim in (1, 16, 63):
        parts = SharedParts.from_model(tiny, slots=4, z_dim=z_dim)
        lost = (parts.up(parts.down(table)) - table).square().sum()
        torch.testing.assert_close(lost, variances[z_dim:].sum(), rtol=1e-3, atol=1e-3)


def test_codes_of_embeddings_are_spread_as_they_say(tiny):
    parts = SharedParts.from_model(tiny, slots=4, z_dim=16)
    codes = parts.down(tiny.model.get_input_embeddings().weight.detach())
    torch.testing.assert_close(codes.std(dim=0), parts.code_std, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(codes.mean(dim=0), torch.zeros(16), rtol=0, atol=1e-4)


def test_a_memory_is_the_mark_and_one_vector_for_each_slot(tiny):
    parts = SharedParts.from_model(tiny, slots=4, z_dim=16)
    codes = torch.randn(3, 4, 16)
    memory = parts.memory(codes)
    assert memory.shape == (3, 5, 64)
    assert torch.equal(memory[:, 0], parts.mark.expand(3, -1))
    torch.testing.assert_close(memory[1, 2], parts.up(codes[1, 1]))
    torch.testing.assert_close(parts.memory(codes[1]), memory[1])


def test_more_numbers_than_the_model_is_wide_are_refused(tiny):
    with pytest.raises(ConfigError, match="z_dim = 65.*'tiny' \\(64\\); choose at most 64"):
        SharedParts.from_model(tiny, slots=4, z_dim=65)


def test_making_them_leaves_the_model_as_it_was(tiny):
    before = copy.deepcopy(tiny.model.state_dict())
    SharedParts.from_model(tiny, slots=4, z_dim=16)
    after = tiny.model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_what_is_saved_comes_back_and_is_not_trained_by_accident(tiny, tmp_path):
    parts = SharedParts.from_model(tiny, slots=4, z_dim=16)
    parts.save(tmp_path / "new" / "folder", {"note": "for a reader"})
    loaded = SharedParts.load(tmp_path / "new" / "folder")
    assert loaded.config == parts.config
    assert loaded.fingerprint() == parts.fingerprint()
    kept = parts.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in loaded.state_dict().items())
    codes = torch.randn(2, 4, 16)
    torch.testing.assert_close(loaded.memory(codes), parts.memory(codes), rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert json.loads((tmp_path / "new" / "folder" / CONFIG_FILE).read_text())["note"]


def test_a_fingerprint_changes_with_any_number_and_any_shape(tiny):
    parts = SharedParts.from_model(tiny, slots=4, z_dim=16)
    seen = {parts.fingerprint(), SharedParts.from_model(tiny, slots=8, z_dim=16).fingerprint()}
    for name in parts.state_dict():
        changed = copy.deepcopy(parts)
        with torch.no_grad():
            changed.state_dict()[name].view(-1)[-1] += 1e-3
        seen.add(changed.fingerprint())
    assert len(seen) == 2 + len(parts.state_dict())
    assert SharedParts.from_model(tiny, slots=4, z_dim=16).fingerprint() in seen


def test_they_are_for_the_same_weights_wherever_those_are_loaded(tiny, tiny_model_dir):
    parts = SharedParts.from_model(tiny, slots=4, z_dim=16)
    parts.check_model(load(tiny_model_dir).model, "tiny")


def test_another_model_is_refused(tiny, tmp_path):
    parts = SharedParts.from_model(tiny, slots=4, z_dim=16)
    other = load(build_tiny_model(tmp_path / "other", seed=1))
    with pytest.raises(ConfigError, match="for 'tiny' as it was.*not for 'other' as it is now"):
        parts.check_model(other.model, "other")


def test_a_model_that_was_trained_further_is_refused(tiny):
    parts = SharedParts.from_model(tiny, slots=4, z_dim=16)
    model = copy.deepcopy(tiny.model)
    parts.check_model(model, "tiny")
    model.requires_grad_(True)
    model(input_ids=torch.tensor([[5, 6, 7]])).logits.square().mean().backward()
    torch.optim.AdamW([model.model.layers[1].mlp.up_proj.weight], lr=1e-4).step()
    with pytest.raises(ConfigError, match="train shared parts"):
        parts.check_model(model, "tiny")


def test_a_fingerprint_knows_which_tensor_numbers_are_in():
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    swapped = torch.nn.ModuleDict({"a": model["b"], "b": model["a"]})
    assert model_fingerprint(model) != model_fingerprint(swapped)


@pytest.mark.parametrize("file", [CONFIG_FILE, TENSORS_FILE])
def test_a_missing_file_is_named(folder, file):
    (folder / file).unlink()
    assert "restore" in refusal(folder, file)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"shape": {}}', '{"shape": {"slots": 0}}', '{"shape": 1}'],
)
def test_a_broken_shape_is_named(folder, text):
    (folder / CONFIG_FILE).write_text(text)
    assert "restore" in refusal(folder, CONFIG_FILE)


def test_truncated_tensors_are_named(folder):
    whole = (folder / TENSORS_FILE).read_bytes()
    for length in (0, 4, len(whole) - 1):
        (folder / TENSORS_FILE).write_bytes(whole[:length])
        assert "train the shared parts again" in refusal(folder, TENSORS_FILE)


@pytest.mark.parametrize("name", ["mark", "up.weight", "code_std"])
def test_tensors_that_do_not_fit_the_shape_are_named(folder, name):
    tensors = {key: value.clone() for key, value in load_file(folder / TENSORS_FILE).items()}
    save_file({**tensors, name: torch.zeros(3)}, folder / TENSORS_FILE)
    assert name in refusal(folder, TENSORS_FILE)
    del tensors[name]
    save_file(tensors, folder / TENSORS_FILE)
    assert name in refusal(folder, TENSORS_FILE)
