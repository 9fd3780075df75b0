"""A LoRA of a lower rank: what it adds is as near as that rank can be, and peft reads it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from methods.parametric_qa.train.lower_rank import CONFIG, WEIGHTS, cut, lower_rank
from methods.parametric_qa.train.recipe import Tuning
from tests.methods.parametric_qa.lab import load_tiny
from tests.methods.parametric_qa.training_lab import run, toy_task


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_what_is_kept_is_the_nearest_product_of_its_rank(rank):
    source = torch.Generator().manual_seed(0)
    down = torch.randn(5, 30, generator=source)
    up = torch.randn(40, 5, generator=source)
    a, b = cut(down, up, rank)
    assert (a.shape, b.shape) == ((rank, 30), (40, rank))
    left, values, right = torch.linalg.svd(up.double() @ down.double(), full_matrices=False)
    wanted = left[:, :rank] * values[:rank] @ right[:rank]
    torch.testing.assert_close((b @ a).double(), wanted, rtol=1e-4, atol=1e-4)


def deltas(folder):
    config = json.loads((folder / CONFIG).read_text())
    weights, scale = load_file(folder / WEIGHTS), config["lora_alpha"] / config["r"]
    return {
        name: scale * weights[name.replace("lora_A", "lora_B")].float() @ weights[name].float()
        for name in weights
        if "lora_A" in name
    }


def test_a_recipe_writes_its_reader_with_a_lower_rank(tiny_model_dir, tmp_path):
    outs = {}
    for rank in (None, 2, 8):
        tuning = Tuning(rank=4, stored_rank=rank)
        run(tiny_model_dir, toy_task(), tmp_path / str(rank), tuning=tuning)
        outs[rank] = tmp_path / str(rank) / "adapter"
    assert (outs[8] / WEIGHTS).read_bytes() == (outs[None] / WEIGHTS).read_bytes()
    assert (outs[2] / WEIGHTS).stat().st_size < 0.6 * (outs[None] / WEIGHTS).stat().st_size
    whole, less = deltas(outs[None]), deltas(outs[2])
    left, values, right = torch.linalg.svd(next(iter(whole.values())), full_matrices=False)
    wanted = left[:, :2] * values[:2] @ right[:2]
    torch.testing.assert_close(next(iter(less.values())), wanted, rtol=1e-2, atol=1e-4)
    before = (outs[2] / WEIGHTS).read_bytes()
    lower_rank(outs[2], 2)
    assert (outs[2] / WEIGHTS).read_bytes() == before


def test_a_model_takes_the_reader_of_a_lower_rank(tiny_model_dir, tmp_path):
    run(tiny_model_dir, toy_task(), tmp_path, tuning=Tuning(rank=4, stored_rank=1))
    tiny = load_tiny(tiny_model_dir)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        plain = tiny.model(ids).logits
        with tiny.adapted(tmp_path / "adapter"):
            assert not tiny.model(ids).logits.equal(plain)
