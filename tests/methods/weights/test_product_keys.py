"""Product keys find the best slots of all, and a layer is exact where a corpus changed nothing."""

from __future__ import annotations

import pytest
import torch

from methods.memory_layer.network import SHARPNESS, Keys, MemoryLayer
from methods.memory_layer.retrofit import keys_of, linear_map
from methods.parametric_qa.write.sequences import Row
from methods.study.passing import from_block, mlp_name, states
from methods.study.training import losses_by_reading
from tests.methods.weights.lab import load

HIDDEN, TOKENS = 48, 400


@pytest.fixture(scope="module")
def hidden() -> torch.Tensor:
    return torch.randn(TOKENS, HIDDEN, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def keys(hidden) -> Keys:
    return keys_of(hidden, heads=2, half_keys=32, k=5, seed=0)


@pytest.fixture(scope="module")
def llm(completion_model_dir):
    return load(completion_model_dir)


def rows_of(llm) -> list[Row]:
    ids = llm.tokenizer("The lighthouse of Vell was built by Mara Quint in 1821.")["input_ids"]
    return [Row([ids[:end]], [], ids[end : end + 4]) for end in (2, 5, 9)]


def test_the_slots_found_are_the_best_of_all(keys, hidden):
    found, weights = keys(hidden)
    halves = torch.einsum("tnsq,nscq->tnsc", keys.queries(hidden), keys.codes)
    every = (halves[:, :, 0, :, None] + halves[:, :, 1, None, :]).flatten(2)
    scores, best = every.sort(dim=-1, descending=True)
    assert (found.reshape(TOKENS, 2, 5) == best[..., :5]).all()
    above = (SHARPNESS * scores[..., :5]).exp() - (SHARPNESS * scores[..., 5:6]).exp()
    expected = above / above.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(weights.reshape(TOKENS, 2, 5), expected, atol=1e-4, rtol=1e-3)


def test_no_output_jumps_where_two_slots_change_places(keys, hidden):
    values = torch.randn(keys.slots, HIDDEN, generator=torch.Generator().manual_seed(1))
    layer = MemoryLayer(keys, torch.nn.Identity(), 1.0, torch.arange(keys.slots), values)
    path = torch.lerp(hidden[:1], hidden[1:2], torch.linspace(0, 1, 4001)[:, None])
    slots = keys(path)[0].reshape(len(path), 2, 5).sort(dim=-1).values
    changes = (slots[1:] != slots[:-1]).any(dim=(1, 2))
    steps = (layer(path) - path).diff(dim=0).norm(dim=1)
    assert changes.sum() > 20
    assert steps[changes].max() < 4 * steps[~changes].max()


def test_keys_are_used_evenly(keys, hidden):
    found, _ = keys(hidden)
    used = torch.bincount(found.flatten() // 32, minlength=32)
    assert used.max() < 4 * used.float().mean()


def test_where_no_changed_slot_is_found_the_mlp_alone_answers(keys, hidden):
    mlp = torch.nn.Linear(HIDDEN, HIDDEN)
    changed = keys(hidden[:1])[0].unique()
    layer = MemoryLayer(keys, mlp, 2.0, changed, torch.ones(len(changed), HIDDEN))
    touched = torch.isin(keys(hidden)[0], changed).any(dim=1)
    same = (layer(hidden) == mlp(hidden)).all(dim=1)
    assert 0 < touched.sum() < TOKENS / 2
    assert same[~touched].all() and not same[touched].any()


def test_a_linear_map_is_found_where_there_is_one(hidden):
    true = torch.nn.Linear(HIDDEN, HIDDEN)
    found = linear_map(hidden, true(hidden).detach())
    off = (found(hidden) - true(hidden)).square().mean() / true(hidden).square().mean()
    assert off < 0.01


def test_read_from_the_block_on_losses_and_gradients_are_those_of_the_whole(llm):
    rows, blocks = rows_of(llm), llm.model.model.layers
    name = mlp_name(llm, 1)
    kept = {id(passed.row): passed.block for passed in states(llm, name, rows)}
    mlp = llm.model.get_submodule(name)
    seen = torch.cat([passed.entered for passed in states(llm, name, rows)])
    some = keys_of(seen, heads=1, half_keys=8, k=3, seed=0)
    layer = MemoryLayer(some, mlp, 1.0, torch.arange(some.slots), torch.zeros(64, seen.shape[1]))
    with llm.edited({name: layer}), from_block(llm, name, kept, rows) as losses:
        layer.values.requires_grad_(True)
        assert len(llm.model.model.layers) == 1
        found = losses(rows)
        (fast,) = torch.autograd.grad(found.sum(), layer.values)
    assert llm.model.model.layers is blocks
    with llm.edited({name: layer}):
        layer.values.requires_grad_(True)
        expected = losses_by_reading(llm.model, rows)
        (slow,) = torch.autograd.grad(expected.sum(), layer.values)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-3)
    assert fast.abs().max() > 0


def test_a_model_that_does_more_to_its_inputs_is_read_whole(llm):
    rows, name = rows_of(llm), mlp_name(llm, 1)

    def doubled(_, args, given):
        return args, {**given, "inputs_embeds": 2 * given["inputs_embeds"]}

    hook = llm.model.model.register_forward_pre_hook(doubled, with_kwargs=True)
    try:
        kept = {id(passed.row): passed.block for passed in states(llm, name, rows)}
        with from_block(llm, name, kept, rows) as losses:
            assert len(llm.model.model.layers) == 2
            torch.testing.assert_close(losses(rows), losses_by_reading(llm.model, rows))
    finally:
        hook.remove()


def test_a_layer_fits_the_shape_of_a_large_model():
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        hidden_size=4096, intermediate_size=14_336, num_hidden_layers=2, num_attention_heads=32,
        num_key_value_heads=8, vocab_size=128_256,
    )  # fmt: skip
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        shapes = (torch.empty(4096), torch.empty(4, 2, 32, 4096), torch.empty(4, 2, 256, 32))
        changed, values = torch.empty(512, dtype=torch.int32), torch.empty(512, 4096)
        layer = MemoryLayer(Keys(*shapes, k=8), model.model.layers[1].mlp, 1.0, changed, values)
        model.model.layers[1].mlp = layer
        logits = model(torch.zeros(1, 3, dtype=torch.long)).logits
    assert (logits.shape, logits.dtype) == ((1, 3, 128_256), torch.bfloat16)
